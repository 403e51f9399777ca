/* How <state_dir>/reboots is read and written; boot.h says what it means. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "metacache/boot.h"

/* Who changes the file has it locked until this handle is closed. -1: ERR_BUSY after ten
 * seconds. */
int boot_file_lock(int dirfd, struct err *err);

/* 1; 0 there is no file; -1: err says what is wrong, and *readable_r whether there is something
 * in items to go on with, and in text the whole of it. */
int boot_file_read(int dirfd, struct buf *text, struct boot_vec *items, bool *readable_r,
		   struct err *err);
void boot_file_free(struct boot_vec *items);

/* The newest BOOTS_MAX. Durable on return. */
int boot_file_write(int dirfd, const struct boot_vec *items, struct err *err);

/* Put what was read of a damaged file beside it. */
int boot_file_keep_damaged(int dirfd, const struct buf *text, struct err *err);

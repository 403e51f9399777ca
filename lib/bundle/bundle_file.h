/* One file of a bundle. Inside lib/bundle only. */
#pragma once

#include "bundle/bundle.h"

/* Whether it has an entry in the archive, and of how many bytes all of them are. */
bool bundle_file_is_packed(const struct bundle_file *file);
uint64_t bundle_file_packed_sum(const struct bundle_file_vec *files);

/* Make the file below dirfd, and the directories that its name has. Nothing that
 * is there is opened, and no link is followed. The handle, or -1. */
int bundle_file_create(int dirfd, const char *name, struct err *err);

/* All of `data`; `name` is for the message. */
int bundle_file_write(int fd, const char *name, const void *data, size_t len, struct err *err);

/* Give it its mode and time, and close `fd` in any case. */
int bundle_file_finish(const struct bundle_file *file, int fd, struct err *err);

/* What is in a record of a transaction log, as one line of text. */
#pragma once

#include "base/buf.h"
#include "index/index_record.h"

#define DETAIL_MAX 4096 /* longer text is cut; "..." says so */

/* Adds "1:4 +(\Seen)" and the like. */
void detail_record(const struct index_record *record, struct buf *out);

/* Adds "\Seen \Flagged", with Dovecot's own bits as 0x40. */
void detail_flags(unsigned flags, struct buf *out);

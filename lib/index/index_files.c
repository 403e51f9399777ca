#include "index/index_files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "index/index_header.h"

#define OPEN_TRIES 5
#define LIST_PREFIX "dovecot.list."

void index_files_close(struct index_files *files)
{
	cleanup_fd(&files->index);
	cleanup_fd(&files->log);
	cleanup_fd(&files->log2);
	files->index = files->log = files->log2 = -1;
}

static int open_file(int dirfd, const char *name, int *fd_r, uint64_t *size_r, struct err *err)
{
	autofd int fd = fsx_openat(dirfd, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);
	struct stat st;

	if (fd < 0)
		return errno == ENOENT || errno == ELOOP || errno == ENXIO
			       ? 0
			       : err_sys(err, errno, "open %s", name);
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "stat %s", name);
	if (!S_ISREG(st.st_mode))
		return 0;
	*size_r = (uint64_t)st.st_size;
	*fd_r = steal_fd(&fd);
	return 0;
}

static int open_all(int dirfd, const char *log_name, struct index_files *files, struct err *err)
{
	autofree char *log2 = xasprintf("%s.2", log_name);
	const char *dot = strrchr(log_name, '.');
	autofree char *index = xstrndup(log_name, dot ? (size_t)(dot - log_name) : 0);

	if (open_file(dirfd, log_name, &files->log, &files->log_bytes, err) < 0 ||
	    open_file(dirfd, log2, &files->log2, &files->log2_bytes, err) < 0)
		return -1;
	return open_file(dirfd, index, &files->index, &files->index_bytes, err);
}

/* Opened while Dovecot rotated, both names can be of the same file. */
static bool between_rotation(const struct index_files *files)
{
	struct stat log, log2;

	return files->log >= 0 && files->log2 >= 0 && fstat(files->log, &log) == 0 &&
	       fstat(files->log2, &log2) == 0 && log.st_ino == log2.st_ino;
}

int index_files_open(int dirfd, const char *log_name, struct index_files *files_r, struct err *err)
{
	for (int i = 0; i < OPEN_TRIES; i++) {
		if (i > 0)
			index_files_close(files_r);
		*files_r = (struct index_files){ .index = -1, .log = -1, .log2 = -1 };
		files_r->is_list = strncmp(log_name, LIST_PREFIX, strlen(LIST_PREFIX)) == 0;
		if (open_all(dirfd, log_name, files_r, err) < 0)
			return -1;
		if (!between_rotation(files_r))
			break;
	}
	return 0;
}

int index_files_logs(const struct index_files *files, struct index_files_logs *logs_r,
		     struct err *err)
{
	struct index_files_log *log = &logs_r->log, *log2 = &logs_r->log2;
	struct err why = { 0 };

	*logs_r = (struct index_files_logs){ .log.fd = files->log,
					     .log.size_bytes = files->log_bytes,
					     .log2.fd = files->log2,
					     .log2.size_bytes = files->log2_bytes };
	if (files->log < 0) {
		err_set(err, ERR_NOTFOUND, "there is no log");
		return 0;
	}
	if (index_log_header(log->fd, log->size_bytes, &log->header, &why) < 0) {
		if (err)
			*err = why;
		return why.code == ERR_DATA ? 0 : -1;
	}
	if (files->log2 < 0)
		return 1;
	if (index_log_header(log2->fd, log2->size_bytes, &log2->header, &why) < 0) {
		if (why.code == ERR_DATA)
			return 1;
		if (err)
			*err = why;
		return -1;
	}
	logs_r->has_log2 = log2->header.file_seq != 0 &&
			   log2->header.file_seq == log->header.prev_file_seq &&
			   log2->header.indexid == log->header.indexid;
	return 1;
}

enum index_files_start index_files_find(const struct index_files_logs *logs, uint32_t file_seq,
					uint64_t offset, uint64_t *offset_r)
{
	const struct index_log_header *header = &logs->log.header;

	*offset_r = offset;
	if (file_seq == header->file_seq)
		return INDEX_FILES_LOG;
	if (logs->has_log2 && file_seq == logs->log2.header.file_seq)
		return INDEX_FILES_LOG2;
	*offset_r = header->hdr_size;
	return file_seq != 0 && file_seq == header->prev_file_seq &&
			       offset == header->prev_file_offset
		       ? INDEX_FILES_LOG
		       : INDEX_FILES_LOST;
}

enum index_files_start index_files_find_first(const struct index_files_logs *logs,
					      uint64_t *offset_r)
{
	const struct index_log_header *header = &logs->log.header;

	*offset_r = header->hdr_size;
	if (header->prev_file_seq == 0)
		return INDEX_FILES_LOG;
	if (!logs->has_log2 || logs->log2.header.prev_file_seq != 0)
		return INDEX_FILES_LOST;
	*offset_r = logs->log2.header.hdr_size;
	return INDEX_FILES_LOG2;
}

/* ---- reach ---- */

/* On the way through a log. */
struct walk {
	uint64_t from;  /* records from here on are behind the index that is asked about */
	uint64_t today; /* where the index of today stands; UINT64_MAX: not in this log */
	bool saw_from, saw_today;
	bool repaired; /* the mark of a repair was taken away, which only its absence tells else */
};

/* Dovecot sets the header's marks itself, and takes that of a repair away by the log. */
static bool changes_marks(const struct index_record *record)
{
	struct index_record_item item;
	size_t at = 0;

	if (record->type != INDEX_RECORD_HEADER_UPDATE)
		return false;
	while (index_record_next(record, &at, &item)) {
		if (item.offset < INDEX_HEADER_AT_FLAGS + sizeof(uint32_t) &&
		    item.offset + item.len > INDEX_HEADER_AT_FLAGS)
			return true;
	}
	return false;
}

static int see_record(void *ctx, const struct index_record *record, struct err *err)
{
	struct walk *walk = ctx;

	(void)err;
	walk->saw_from |= record->offset == walk->from;
	walk->saw_today |= record->offset == walk->today;
	walk->repaired |= record->offset >= walk->from && changes_marks(record);
	return 0;
}

/* The log can be read to its end, both places are those of a record, or the end, and nothing
 * was repaired without it. */
static bool is_whole(const struct index_files_log *log, uint64_t from, uint64_t today,
		     uint64_t *end_r)
{
	struct walk walk = { .from = from, .today = today };

	return index_log_read(log->fd, log->size_bytes, log->header.hdr_size, see_record, &walk,
			      end_r, NULL) == 0 &&
	       !walk.repaired && (walk.saw_from || from == *end_r) &&
	       (walk.saw_today || today == *end_r || today == UINT64_MAX);
}

/* Where the index of today stands in the logs. False: it is of another, repaired, or stands
 * nowhere in them. */
static bool find_today(const struct index_files *files, const struct index_files_logs *logs,
		       uint64_t *in_log2_r, uint64_t *in_log_r)
{
	struct index_header header;
	uint64_t offset;
	enum index_files_start start;

	*in_log2_r = *in_log_r = UINT64_MAX;
	if (files->index < 0)
		return true;
	if (index_header_read(files->index, files->index_bytes, &header, NULL) < 0 ||
	    header.indexid != logs->log.header.indexid ||
	    (header.flags & (INDEX_HEADER_FSCKD | INDEX_HEADER_CORRUPTED)) != 0)
		return false;
	start = index_files_find(logs, header.log_file_seq, header.log_file_head_offset, &offset);
	*(start == INDEX_FILES_LOG2 ? in_log2_r : in_log_r) = offset;
	return start != INDEX_FILES_LOST;
}

bool index_files_reach(const struct index_files *files, uint32_t indexid, uint32_t log_file_seq,
		       uint64_t log_file_head_offset)
{
	struct index_files_logs logs;
	uint64_t offset, end, in_log2, in_log;

	if (index_files_logs(files, &logs, NULL) <= 0 || indexid != logs.log.header.indexid ||
	    !find_today(files, &logs, &in_log2, &in_log))
		return false;
	switch (index_files_find(&logs, log_file_seq, log_file_head_offset, &offset)) {
	case INDEX_FILES_LOST:
		return false;
	case INDEX_FILES_LOG2:
		if (!is_whole(&logs.log2, offset, in_log2, &end) ||
		    end != logs.log.header.prev_file_offset)
			return false;
		offset = logs.log.header.hdr_size;
		break;
	case INDEX_FILES_LOG:
		if (in_log2 != UINT64_MAX) /* the index of today is older */
			return false;
		break;
	}
	return offset >= logs.log.header.hdr_size && is_whole(&logs.log, offset, in_log, &end);
}

/* Index files out of one run of bytes: two lengths of 16 bits, then dovecot.index and
 * .log.2 of these lengths, then .log. Length 0: there is no such file. */
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "index/index_bytes.h"
#include "index/index_files.h"

/* -1 for nothing. */
static inline int part(const unsigned char *data, size_t len)
{
	int fd = len > 0 ? memfd_create("fuzz", MFD_CLOEXEC) : -1;

	if (len > 0)
		need(fd >= 0 && pwrite(fd, data, len, 0) == (ssize_t)len);
	return fd;
}

static inline bool parts(const unsigned char *data, size_t len, bool is_list,
			 struct index_files *files)
{
	if (len < 4)
		return false;
	*files = (struct index_files){ .is_list = is_list,
				       .index_bytes = index_bytes_u16(data),
				       .log2_bytes = index_bytes_u16(data + 2) };
	len -= 4;
	data += 4;
	if (files->index_bytes + files->log2_bytes > len)
		return false;
	files->log_bytes = len - files->index_bytes - files->log2_bytes;
	files->index = part(data, files->index_bytes);
	files->log2 = part(data + files->index_bytes, files->log2_bytes);
	files->log = part(data + len - files->log_bytes, files->log_bytes);
	return true;
}

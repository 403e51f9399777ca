/* What was written to a handle, as text. */
#pragma once

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ROWS(table) (sizeof(table) / sizeof *(table))

static inline int capture_open(void)
{
	int fd = memfd_create("capture", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* The caller frees it. What was read is forgotten. */
static inline char *capture_read(int fd)
{
	struct stat st;
	char *text;

	assert_int_equal(fstat(fd, &st), 0);
	text = malloc((size_t)st.st_size + 1);
	assert_non_null(text);
	assert_int_equal(pread(fd, text, (size_t)st.st_size, 0), st.st_size);
	text[st.st_size] = '\0';
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return text;
}

static inline void assert_captured(int fd, const char *expected)
{
	char *text = capture_read(fd);

	assert_string_equal(text, expected);
	free(text);
}

static inline void assert_captured_has(int fd, const char *part)
{
	char *text = capture_read(fd);

	if (!strstr(text, part))
		fail_msg("no \"%s\" in: %s", part, text);
	free(text);
}

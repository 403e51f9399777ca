/* A progress line on stderr: done of total, rate, time left. Only for a person:
 * tool_progress() gives NULL unless stderr is a terminal and -q was not given,
 * and every function here takes NULL and does nothing. Thread-safe. */
#pragma once

#include <stdint.h>

struct progress;

struct progress_options {
	int fd;           /* the terminal, never closed */
	const char *what; /* "users" */
	uint64_t total;   /* 0 = not known yet */
	unsigned width;   /* columns; the line is cut to fit; 0 = 80 */
};

struct progress *progress_new(const struct progress_options *options);

/* Takes the line off the screen. */
void progress_free(struct progress *progress);

void progress_set_total(struct progress *progress, uint64_t total);

/* `n` more are done. Drawn at most five times a second. */
void progress_add(struct progress *progress, uint64_t n);

/* Off the screen, so that another line can be printed there; the next
 * progress_add() that is due draws it again. */
void progress_clear(struct progress *progress);

#include "tool/progress.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "tool/text.h"

enum { REDRAW_MS = 200, WIDTH_DEFAULT = 80 };

struct progress {
	int fd;
	char *what;
	uint64_t total;
	uint64_t done;
	unsigned width;
	int64_t started_ms;
	int64_t drawn_ms;
	bool visible;
	pthread_mutex_t lock;
};

struct progress *progress_new(const struct progress_options *options)
{
	struct progress *progress = xcalloc(1, sizeof *progress);

	progress->fd = options->fd;
	progress->what = xstrdup(options->what);
	progress->total = options->total;
	progress->width = options->width ? options->width : WIDTH_DEFAULT;
	progress->started_ms = progress->drawn_ms = clock_mono_ms();
	pthread_mutex_init(&progress->lock, NULL);
	return progress;
}

/* A terminal that is gone is no reason to stop the work. */
static void put_line(const struct progress *progress, const struct buf *line)
{
	(void)!write(progress->fd, line->data, line->len);
}

static void clear_locked(struct progress *progress)
{
	autobuf struct buf line = { 0 };

	if (!progress->visible)
		return;
	progress->visible = false;
	buf_puts(&line, "\r\033[K");
	put_line(progress, &line);
}

void progress_free(struct progress *progress)
{
	if (!progress)
		return;
	clear_locked(progress);
	pthread_mutex_destroy(&progress->lock);
	free(progress->what);
	free(progress);
}

void progress_set_total(struct progress *progress, uint64_t total)
{
	if (!progress)
		return;
	pthread_mutex_lock(&progress->lock);
	progress->total = total;
	pthread_mutex_unlock(&progress->lock);
}

static void put_time_left(struct buf *line, uint64_t secs)
{
	if (secs >= 3600)
		buf_printf(line, ", %uh%02um left", (unsigned)(secs / 3600 % 100000),
			   (unsigned)(secs / 60 % 60));
	else
		buf_printf(line, ", %u:%02u left", (unsigned)(secs / 60), (unsigned)(secs % 60));
}

static void draw_locked(struct progress *progress, int64_t now_ms)
{
	autobuf struct buf line = { 0 };
	double secs = (double)(now_ms - progress->started_ms) / 1000;
	double rate = secs > 0 ? (double)progress->done / secs : 0;

	buf_puts(&line, "\r");
	text_uint(&line, progress->done);
	if (progress->total > 0) {
		buf_puts(&line, "/");
		text_uint(&line, progress->total);
	}
	buf_puts(&line, " ");
	text_shown(&line, progress->what);
	buf_printf(&line, rate < 10 ? ", %.1f/s" : ", %.0f/s", rate);
	if (rate > 0 && progress->total > progress->done)
		put_time_left(&line, (uint64_t)((double)(progress->total - progress->done) / rate));
	/* A line that wraps could not be taken back. */
	if (line.len > progress->width)
		buf_truncate(&line, progress->width);
	buf_puts(&line, "\033[K");
	progress->visible = true;
	progress->drawn_ms = now_ms;
	put_line(progress, &line);
}

void progress_add(struct progress *progress, uint64_t n)
{
	int64_t now_ms;

	if (!progress)
		return;
	now_ms = clock_mono_ms();
	pthread_mutex_lock(&progress->lock);
	progress->done += n;
	if (now_ms - progress->drawn_ms >= REDRAW_MS)
		draw_locked(progress, now_ms);
	pthread_mutex_unlock(&progress->lock);
}

void progress_clear(struct progress *progress)
{
	if (!progress)
		return;
	pthread_mutex_lock(&progress->lock);
	clear_locked(progress);
	pthread_mutex_unlock(&progress->lock);
}

#include "metacache/boot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/quote.h"
#include "metacache/boot_file.h"

#define SECOND_NS INT64_C(1000000000)
#define CLOCK_SLACK_NS (60 * SECOND_NS)
#define MTIME_SLACK_NS (SECOND_NS / 100) /* a file's time is that of the last timer tick */

void boot_list_free(struct boots *boots)
{
	boot_file_free(&boots->items);
	free(boots->host);
	*boots = (struct boots){ 0 };
}

int boot_stamp(char stamp_r[BOOT_STAMP_SIZE], struct err *err)
{
	struct stat st;

	if (stat("/proc", &st) < 0)
		return err_sys(err, errno, "look at /proc");
	snprintf(stamp_r, BOOT_STAMP_SIZE, "%lld.%09ld", (long long)st.st_ctim.tv_sec,
		 st.st_ctim.tv_nsec);
	return 0;
}

static bool is_ours(const struct boots *boots, const struct boot *boot)
{
	return strcmp(boot->host, boots->host) == 0;
}

static bool is_running(const struct boots *boots, const struct boot *boot)
{
	return is_ours(boots, boot) && strcmp(boot->stamp, boots->stamp) == 0;
}

/* The last boot of ours before items[before]; -1 without one. */
static ssize_t last_before(const struct boots *boots, size_t before)
{
	while (before-- > 0) {
		if (is_ours(boots, &boots->items.items[before]))
			return (ssize_t)before;
	}
	return -1;
}

const struct boot *boot_running(const struct boots *boots)
{
	for (size_t i = boots->items.count; i-- > 0;) {
		if (is_running(boots, &boots->items.items[i]))
			return &boots->items.items[i];
	}
	return NULL;
}

const struct boot *boot_previous(const struct boots *boots)
{
	const struct boot *running = boot_running(boots);
	size_t before = running ? (size_t)(running - boots->items.items) : boots->items.count;
	ssize_t found = last_before(boots, before);

	return found < 0 ? NULL : &boots->items.items[found];
}

const char *boot_end_name(const struct boots *boots, const struct boot *boot)
{
	if (!is_ours(boots, boot))
		return "other_host";
	if (is_running(boots, boot))
		return boot->clean_ns != 0 ? "stopped" : "running";
	return boot->clean_ns != 0 ? "clean" : "crashed";
}

bool boot_any_over(const struct boots *boots)
{
	return boot_previous(boots) && boots->unknown.code == ERR_NONE;
}

/* The running boot has to be noted, as the last one. */
static int check_running(struct boots *boots, struct err *err)
{
	const struct boot *running = boot_running(boots);
	ssize_t last = last_before(boots, boots->items.count);
	int64_t began_ns;

	if (!running) {
		err_set(err, ERR_DATA, "reboots: this boot is not in it");
		return err_hint(err, "run metacache-boot start when the host starts");
	}
	if (running != &boots->items.items[last]) {
		err_set(err, ERR_DATA, "reboots: another boot was noted after the one that runs");
		return err_hint(err, "of two containers with one state_dir each needs a "
				     "backend_host of its own");
	}
	/* Had the clock been ahead when it was noted, files would seem to be older than it. */
	began_ns = clock_now_ns() - (clock_mono_ms() * 1000000 - running->uptime_ns);
	boots->running_ns = began_ns < running->started_ns ? began_ns : running->started_ns;
	return 0;
}

void boot_load(int state_dirfd, const char *host, const char *stamp, struct boots *boots_r)
{
	autobuf struct buf text = { 0 };
	struct err *err = &boots_r->unknown;
	bool readable;
	int ret;

	*boots_r = (struct boots){ .host = xstrdup(host) };
	snprintf(boots_r->stamp, sizeof boots_r->stamp, "%s", stamp);
	ret = boot_file_read(state_dirfd, &text, &boots_r->items, &readable, err);
	if (ret == 0) {
		err_set(err, ERR_NOTFOUND, "reboots: there is no such file");
		err_hint(err, "run metacache-boot start when the host starts");
	} else if (ret > 0) {
		check_running(boots_r, err);
	}
}

/* When the boot at `i` began, by its own clock. */
static int64_t began_ns(const struct boots *boots, size_t i)
{
	const struct boot *boot = &boots->items.items[i];

	return is_running(boots, boot) ? boots->running_ns : boot->started_ns;
}

/* From `first` to now each boot of ours began after the one before it and that one's mark. */
static bool times_make_sense(const struct boots *boots, size_t first)
{
	int64_t latest_ns = boots->items.items[first].started_ns;

	for (size_t i = first; i < boots->items.count; i++) {
		const struct boot *boot = &boots->items.items[i];

		if (!is_ours(boots, boot))
			continue;
		if (began_ns(boots, i) < latest_ns)
			return false;
		latest_ns = boot->clean_ns != 0 ? boot->clean_ns : began_ns(boots, i);
	}
	return latest_ns <= clock_now_ns() + CLOCK_SLACK_NS;
}

/* The boot that .state names, or by time a later one; -1: neither. *since_r is where times
 * begin to matter. */
static ssize_t last_written(const struct boots *boots, const char *stamp, int64_t newest_ns,
			    size_t *since_r)
{
	ssize_t written = -1, before;
	bool reached = !stamp;

	for (size_t i = 0; i < boots->items.count; i++) {
		const struct boot *boot = &boots->items.items[i];

		if (!is_ours(boots, boot))
			continue;
		if (reached && began_ns(boots, i) <= newest_ns + MTIME_SLACK_NS)
			written = (ssize_t)i;
		if (stamp && strcmp(boot->stamp, stamp) == 0) {
			reached = true;
			written = (ssize_t)(*since_r = i);
		}
	}
	if (!stamp && written >= 0) {
		before = last_before(boots, (size_t)written);
		*since_r = (size_t)(before < 0 ? written : before);
	}
	return written;
}

/* Before the boot at `i` nothing ran in it. Whole seconds, rounded down, will do. */
static int64_t earliest_ns(const struct boots *boots, size_t i)
{
	int64_t proc_ns = strtoll(boots->items.items[i].stamp, NULL, 10) * SECOND_NS;

	return proc_ns < began_ns(boots, i) ? proc_ns : began_ns(boots, i);
}

/* Somebody wrote on for long after the mark of the boot at `i`, and it was over before the
 * next began: nobody knows how what was written then ended. */
static bool went_on(const struct boots *boots, size_t i, int64_t newest_ns)
{
	if (newest_ns <= boots->items.items[i].clean_ns + CLOCK_SLACK_NS)
		return false;
	while (++i < boots->items.count) {
		if (is_ours(boots, &boots->items.items[i]))
			return newest_ns < earliest_ns(boots, i);
	}
	return false;
}

static enum boot_verdict unknown(const char **why_r, const char *why)
{
	if (why_r)
		*why_r = why;
	return BOOT_UNKNOWN;
}

enum boot_verdict boot_judge(const struct boots *boots, const char *stamp, const char *host,
			     int64_t newest_ns, const char **why_r)
{
	const struct boot *boot;
	ssize_t written;
	size_t since = 0;

	if (stamp && strcmp(stamp, boots->stamp) == 0)
		return BOOT_WHOLE;
	if (boots->unknown.code != ERR_NONE)
		return unknown(why_r, boots->unknown.msg);
	if (host && strcmp(host, boots->host) != 0)
		return unknown(why_r, "it was last written by another host");
	written = last_written(boots, stamp, newest_ns, &since);
	if (written < 0)
		return unknown(why_r, "the boot in which it was written is not in reboots");
	boot = &boots->items.items[written];
	if (is_running(boots, boot))
		return BOOT_WHOLE;
	if (boot->clean_ns != 0 && newest_ns <= boot->clean_ns)
		return BOOT_WHOLE;
	if (boot->clean_ns != 0 && !went_on(boots, (size_t)written, newest_ns))
		return unknown(why_r, "it was written after its boot was marked clean");
	if (!times_make_sense(boots, since))
		return unknown(why_r, "the times in reboots are not one after the other");
	return BOOT_CRASHED;
}

/* A line per boot, told apart by blanks: a name may have them, but no end of line. */
static int check_host(const char *host, struct err *err)
{
	if (*host == '\0' || strchr(host, '\n'))
		return err_set(err, ERR_CONFIG, "backend_host %s: no name", quote_str(host).s);
	return 0;
}

int boot_start(int state_dirfd, const char *host, const char *stamp, struct err *err)
{
	CLEANUP(boot_list_free) struct boots boots = { .host = xstrdup(host) };
	autobuf struct buf text = { 0 };
	struct err failed = { 0 };
	struct boot *running;
	bool readable = true;
	autofd int lock = -1;
	int ret;

	snprintf(boots.stamp, sizeof boots.stamp, "%s", stamp);
	if (check_host(host, err) < 0)
		return -1;
	lock = boot_file_lock(state_dirfd, err);
	if (lock < 0)
		return -1;
	ret = boot_file_read(state_dirfd, &text, &boots.items, &readable, &failed);
	if (ret < 0 && !readable) {
		if (err)
			*err = failed;
		return -1;
	}
	if (ret < 0 && boot_file_keep_damaged(state_dirfd, &text, err) < 0)
		return -1;
	running = (struct boot *)boot_running(&boots);
	if (running) {
		running->clean_ns = 0;
	} else {
		struct boot boot = {
			.host = xstrdup(host),
			.started_ns = clock_now_ns(),
			.uptime_ns = clock_mono_ms() * 1000000,
		};

		memcpy(boot.stamp, boots.stamp, sizeof boot.stamp);
		vec_push(&boots.items, boot);
	}
	return boot_file_write(state_dirfd, &boots.items, err);
}

/* Now; by the clock as it was when the boot was noted, if it has been set back since: files that
 * were written before that are not to look as if they were written after the mark. */
static int64_t mark_ns(const struct boot *running)
{
	int64_t now_ns = clock_now_ns();
	int64_t unset_ns = running->started_ns + clock_mono_ms() * 1000000 - running->uptime_ns;

	if (unset_ns < running->started_ns)
		unset_ns = running->started_ns;
	return now_ns + SECOND_NS < unset_ns ? unset_ns : now_ns;
}

int boot_stop(int state_dirfd, const char *host, const char *stamp, struct err *err)
{
	CLEANUP(boot_list_free) struct boots boots = { 0 };
	autofd int lock = boot_file_lock(state_dirfd, err);
	struct boot *running;

	if (lock < 0)
		return -1;
	boot_load(state_dirfd, host, stamp, &boots);
	running = (struct boot *)boot_running(&boots);
	if (!running || boots.unknown.code != ERR_NONE) {
		if (err)
			*err = boots.unknown;
		return -1;
	}
	running->clean_ns = mark_ns(running);
	return boot_file_write(state_dirfd, &boots.items, err);
}

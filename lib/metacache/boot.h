/* The boots of this host and how they ended: <state_dir>/reboots, and the crash rule.
 *
 * Dovecot never fsyncs its indexes, so what was being written when a host went down may be
 * torn in ways that nobody sees. metacache-boot start notes each boot, stop that it ended well:
 *
 *   metacache-tools reboots 1
 *   <ctime of /proc> <when noted> <uptime then> <when marked clean, or -> <host>
 *
 * one line a boot, the newest last, times as <seconds>.<9 digits>. A boot that is over and was not
 * marked clean has crashed. The file is fsynced and replaced as a whole.
 *
 * The mark is set whenever Dovecot is stopped (drain.h), so whoever starts Dovecot again takes it
 * off by `start`. Where nobody did, files tell: those that were written more than a minute after
 * the mark, and before the next boot, were written in a boot of which nobody knows how it ended,
 * and count as written in a crashed one.
 *
 * Crash rule: a unit that was last written in a crashed boot is assumed corrupt, and given up
 * when it is next opened. "Last written" is the later of two: the boot that .state was stamped
 * with when its files were last uploaded or installed, and the boot in which the newest of its
 * files was modified, for Dovecot writes long after that. So a unit from before a clean stop is
 * kept whatever crashed since, and one that Dovecot has gone on with since the crash, before
 * anybody asked, is kept for what was done in it since.
 *
 * Unknown means keep. The rule says nothing
 * - of anything but this boot, if the file is missing, damaged, of a later version, or can't be
 *   read, or `start` was not run in this boot;
 * - of a stamp that is not listed, or of another host. Two hosts or containers with one
 *   state_dir have lines of their own, if their names differ; each judges by its own;
 * - where times can't be trusted: boots dated in the future, or not one after the other,
 *   from the one in question to now; a boot noted after the one that runs (two containers of one
 *   name); files written within a minute of the clean mark (a host that went down in order had
 *   something that ended later, or its clock was set), or after the next boot began but before it
 *   was noted.
 *
 * A container that is restarted below a /proc that is the host's is in the same boot: nothing was
 * lost, since the kernel lived on. One with a /proc of its own has a boot each time, and one
 * that was killed has crashed. A program that is run with another /proc than its neighbours
 * (of systemd: ProtectProc=, ProcSubset=, ProtectKernelTunables=, ProtectControlGroups=,
 * MountAPIVFS=) is in a boot that nobody has noted. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/vec.h"

#define BOOT_FILE "reboots"
#define BOOT_STAMP_SIZE 40
#define BOOTS_MAX 1000 /* older ones are forgotten: nothing is known of what they wrote */

struct boot {
	char stamp[BOOT_STAMP_SIZE]; /* ctime of /proc */
	char *host;
	int64_t started_ns; /* UNIX time of the first `start` */
	int64_t uptime_ns;  /* of the kernel then: shows whether the clock was set since */
	int64_t clean_ns;   /* UNIX time of the mark; 0: not marked */
};
VEC(boot_vec, struct boot);

struct boots {
	char stamp[BOOT_STAMP_SIZE]; /* of the boot that runs */
	char *host;                  /* of this one */
	struct boot_vec items;       /* as in the file, other hosts' too; oldest first */
	int64_t running_ns;          /* when this boot began, by the clock as it is now set */
	struct err unknown;          /* why nothing is known of other boots; ERR_NONE: it is */
};
void boot_list_free(struct boots *boots);
#define autoboots CLEANUP(boot_list_free)

/* Which boot runs, as the change time of /proc says. 0 or -1. */
int boot_stamp(char stamp_r[BOOT_STAMP_SIZE], struct err *err);

/* Read the file. Never fails: what is wrong is in `unknown`. */
void boot_load(int state_dirfd, const char *host, const char *stamp, struct boots *boots_r);

/* The line of the boot that runs; NULL if it was not noted. */
const struct boot *boot_running(const struct boots *boots);

/* This host's boot before that, or before nothing; NULL without one. */
const struct boot *boot_previous(const struct boots *boots);

/* What is known of a line: "running", "stopped" (runs, and is marked clean), "clean",
 * "crashed", "other_host". */
const char *boot_end_name(const struct boots *boots, const struct boot *boot);

/* Whether a boot of this host is over, and it is known how it ended: there may be something to give
 * up, also where it was marked clean. */
bool boot_any_over(const struct boots *boots);

enum boot_verdict {
	BOOT_WHOLE,
	BOOT_CRASHED,
	BOOT_UNKNOWN,
};

/* What was last written: `stamp` and `host` by .state (NULL: torn, then the time alone has to
 * tell), its newest file at newest_ns. *why_r (may be NULL) is why it is unknown. */
enum boot_verdict boot_judge(const struct boots *boots, const char *stamp, const char *host,
			     int64_t newest_ns, const char **why_r);

/* Note that this boot runs; a second time takes the clean mark off. What can't be read of a
 * damaged file goes to reboots.damaged, the rest stays. Durable on return. 0; -1 (ERR_DATA: the
 * file is of a later version), with the file as it was. */
int boot_start(int state_dirfd, const char *host, const char *stamp, struct err *err);

/* Mark it clean. The caller has seen to it that all of it is on disk. 0; -1 (ERR_DATA: not
 * noted, or the file is damaged). */
int boot_stop(int state_dirfd, const char *host, const char *stamp, struct err *err);

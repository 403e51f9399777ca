#include "metacache/status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "metacache/metacache.h"
#include "metacache/rescan.h"

const char *status_priority_name(unsigned priority)
{
	static const char *const names[UNIT_PRIORITIES] = { "root", "FTS", "INBOX and Junk",
							    "other folders" };

	return names[priority];
}

uint64_t status_percent(uint64_t part, uint64_t whole)
{
	unsigned __int128 percent;

	if (whole == 0)
		return 0;
	percent = ((unsigned __int128)part * 100 + whole / 2) / whole;
	return percent > UINT64_MAX ? UINT64_MAX : (uint64_t)percent;
}

uint64_t status_age(const struct status *status, int64_t when)
{
	return when < status->now ? (uint64_t)status->now - (uint64_t)when : 0;
}

static uint64_t sum_of(const struct registry_totals *totals)
{
	uint64_t sum = 0;

	for (int i = 0; i < UNIT_PRIORITIES; i++) {
		if (__builtin_add_overflow(sum, totals->bytes_used[i], &sum))
			return UINT64_MAX;
	}
	return sum;
}

static void look_at_filesystem(struct status_root *root)
{
	struct statvfs st;

	if (statvfs(root->path, &st) < 0) {
		err_sys(&root->err, errno, "ask for the free space of %s", root->path);
		return;
	}
	root->has_space = true;
	root->size_bytes = (uint64_t)st.f_blocks * st.f_frsize;
	root->avail_bytes = (uint64_t)st.f_bavail * st.f_frsize;
}

static void add_root(struct status *status, const char *path, bool configured)
{
	struct status_root root = { .path = xstrdup(path), .configured = configured };

	if (configured)
		look_at_filesystem(&root);
	vec_push(&status->roots, root);
}

/* Those of the settings, then others that users are registered in. */
static int read_roots(const struct settings *settings, struct registry *registry,
		      struct status *status, struct err *err)
{
	struct str_vec used;

	if (registry_roots(registry, &used, err) < 0)
		return -1;
	for (size_t i = 0; i < settings->roots.count; i++)
		add_root(status, settings->roots.items[i], true);
	for (size_t i = 0; i < used.count; i++) {
		if (!str_vec_has(&settings->roots, used.items[i]))
			add_root(status, used.items[i], false);
	}
	str_vec_free(&used);
	/* A scan takes a third of a second for a million users: the usual one root needs none. */
	if (status->roots.count == 1) {
		status->roots.items[0].totals = status->totals;
		return 0;
	}
	for (size_t i = 0; i < status->roots.count; i++) {
		struct status_root *root = &status->roots.items[i];

		if (registry_totals(registry, root->path, &root->totals, err) < 0)
			return -1;
	}
	return 0;
}

static int read_note(struct registry *registry, const char *name, uint64_t *value_r,
		     struct err *err)
{
	int64_t value = 0;

	if (registry_value(registry, name, &value, err) < 0)
		return -1;
	*value_r = value > 0 ? (uint64_t)value : 0;
	return 0;
}

static int read_requests(struct registry *registry, struct status *status, struct err *err)
{
	char name[64];

	for (unsigned i = 0; i < STORE_KINDS; i++) {
		struct status_requests *requests = &status->requests[i];

		snprintf(name, sizeof name, "requests_%s", metacache_kind_name(i));
		if (read_note(registry, name, &requests->count, err) < 0)
			return -1;
		snprintf(name, sizeof name, "bytes_%s", metacache_kind_name(i));
		if (read_note(registry, name, &requests->bytes, err) < 0)
			return -1;
	}
	return 0;
}

static int read_rescan(struct registry *registry, struct status_rescan *rescan, struct err *err)
{
	const struct {
		const char *name;
		uint64_t *value;
	} notes[] = {
		{ RESCAN_NOTE_ADDED, &rescan->added },
		{ RESCAN_NOTE_CORRECTED, &rescan->corrected },
		{ RESCAN_NOTE_REMOVED, &rescan->removed },
		{ RESCAN_NOTE_BYTES_OFF, &rescan->bytes_off },
	};

	for (size_t i = 0; i < sizeof notes / sizeof *notes; i++) {
		if (read_note(registry, notes[i].name, notes[i].value, err) < 0)
			return -1;
	}
	return registry_value(registry, RESCAN_NOTE_WHEN, &rescan->when, err) < 0 ? -1 : 0;
}

int status_read(const struct settings *settings, struct registry *registry, struct status *status_r,
		struct err *err)
{
	*status_r = (struct status){ .now = clock_now_ns() / 1000000000 };
	if (registry_totals(registry, NULL, &status_r->totals, err) < 0 ||
	    read_roots(settings, registry, status_r, err) < 0 ||
	    read_requests(registry, status_r, err) < 0 ||
	    read_rescan(registry, &status_r->rescan, err) < 0) {
		status_free(status_r);
		return -1;
	}
	status_r->bytes_used = sum_of(&status_r->totals);
	return 0;
}

void status_free(struct status *status)
{
	for (size_t i = 0; i < status->roots.count; i++)
		free(status->roots.items[i].path);
	vec_free(&status->roots);
}

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fsx.h"
#include "base/quote.h"
#include "cluster/doveadm.h"
#include "metacache/drain_impl.h"
#include "metacache/trash.h"

#define SETTLE_MS 1000 /* between the two kicks */

static const char *const step_names[DRAIN_STEPS] = {
	[DRAIN_DIRECTOR_VHOSTS] = "director-vhosts",
	[DRAIN_DIRECTOR_WAIT] = "director-wait",
	[DRAIN_PRUNE] = "prune",
	[DRAIN_FLUSH_1] = "flush-1",
	[DRAIN_STOP] = "stop",
	[DRAIN_KICK_1] = "kick-1",
	[DRAIN_FLUSH_2] = "flush-2",
	[DRAIN_WAIT] = "wait",
	[DRAIN_KICK_2] = "kick-2",
	[DRAIN_FLUSH_3] = "flush-3",
	[DRAIN_DIRECTOR_DOWN] = "director-down",
	[DRAIN_DIRECTOR_FLUSH] = "director-flush",
	[DRAIN_MARK_CLEAN] = "mark-clean",
};

const char *drain_step_name(enum drain_step step)
{
	return step_names[step];
}

int drain_step_parse(const char *name, enum drain_step *step_r, struct err *err)
{
	autobuf struct buf all = { 0 };

	for (int i = 0; i < DRAIN_STEPS; i++) {
		buf_printf(&all, "%s%s", i > 0 ? ", " : "", step_names[i]);
		if (strcmp(name, step_names[i]) == 0) {
			*step_r = (enum drain_step)i;
			return 0;
		}
	}
	return err_set(err, ERR_USAGE, "no such step: %s (there are %s)", quote_str(name).s,
		       buf_str(&all));
}

const char *drain_result_name(enum drain_result result)
{
	static const char *const names[] = {
		[DRAIN_DONE] = "done",     [DRAIN_SKIPPED] = "skipped",   [DRAIN_WOULD] = "would",
		[DRAIN_FAILED] = "failed", [DRAIN_NOT_DONE] = "not_done",
	};

	return names[result];
}

int drain_detail(struct drain_row *row, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(row->detail, sizeof row->detail, fmt, args);
	va_end(args);
	return 0;
}

int drain_skip(struct drain_row *row, const char *why)
{
	row->result = DRAIN_SKIPPED;
	return drain_detail(row, "%s", why);
}

static int flush(struct drain *drain, struct drain_row *row, bool important_only)
{
	const struct flush_options options = {
		.important_only = important_only,
		.dry_run = drain->options->dry_run,
	};
	struct flush_totals totals = { 0 };
	unsigned long long left;
	int ret = flush_all(drain->mc, NULL, &options, drain->callbacks->flushed, NULL,
			    drain->callbacks->ctx, &totals, &row->err);

	row->count = totals.flushed;
	drain_detail(row, "%llu units, %llu bytes, %llu conflicts",
		     (unsigned long long)totals.units[FLUSH_UPLOADED],
		     (unsigned long long)totals.bytes, (unsigned long long)totals.conflicts);
	drain->totals->conflicts = totals.conflicts;
	if (!drain->options->dry_run)
		drain->totals->uploaded += totals.units[FLUSH_UPLOADED];
	if (ret != 0)
		return -1;
	left = totals.failed + totals.busy;
	if (left == 0)
		return 0;
	return err_set(&row->err, ERR_TEMP, "%llu users could not be uploaded", left);
}

static int flush_1(struct drain *drain, struct drain_row *row)
{
	return flush(drain, row, !drain->options->all_changes);
}

static int flush_important(struct drain *drain, struct drain_row *row)
{
	return flush(drain, row, true);
}

static int settle(struct drain *drain, struct drain_row *row)
{
	if (!drain->options->dry_run)
		clock_sleep_ms(SETTLE_MS);
	return drain_detail(row, "%d ms", SETTLE_MS);
}

static int mark_clean(struct drain *drain, struct drain_row *row)
{
	const struct metacache *mc = drain->mc;
	autofd int dirfd = -1;

	if (mc->boots.unknown.code == ERR_NOTFOUND)
		return drain_skip(row, "boots are not noted on this host");
	if (drain->options->dry_run)
		return drain_detail(row, "boot %s", mc->boot);
	dirfd = fsx_open_root(mc->settings->state_dir, &row->err);
	if (dirfd < 0 || metacache_sync(mc, &row->err) < 0)
		return -1;
	return boot_stop(dirfd, mc->host, mc->boot, &row->err);
}

static int prune_obsolete(struct drain *drain, struct drain_row *row)
{
	const struct prune_options options = {
		.older_than_s = drain->options->prune_older_than_s,
		.act = !drain->options->dry_run,
	};
	struct prune *prune = prune_new(drain->mc, &options, drain->callbacks->pruned,
					drain->callbacks->ctx, &row->err);
	struct prune_totals totals;
	struct err walked = { 0 };
	int ret;

	if (!prune)
		return -1;
	if (options.act)
		trash_sweep_all(drain->mc);
	ret = prune_all(prune, NULL, &walked);
	if (prune_finish(&prune, &totals, &row->err) < 0)
		return -1;
	row->count = totals.deleted;
	drain->totals->pruned = totals.deleted;
	drain_detail(row, "%llu bytes; %llu users are kept, of %llu it is not known whose they are",
		     (unsigned long long)totals.bytes,
		     (unsigned long long)(totals.users - totals.deleted),
		     (unsigned long long)totals.reasons[PRUNE_OWNER_UNTOLD]);
	if (ret == 0)
		return 0;
	row->err = walked;
	return -1;
}

static drain_step_fn *const steps[DRAIN_STEPS] = {
	[DRAIN_DIRECTOR_VHOSTS] = drain_director_vhosts,
	[DRAIN_DIRECTOR_WAIT] = drain_director_wait,
	[DRAIN_PRUNE] = prune_obsolete,
	[DRAIN_FLUSH_1] = flush_1,
	[DRAIN_STOP] = drain_dovecot_stop,
	[DRAIN_KICK_1] = drain_dovecot_kick,
	[DRAIN_FLUSH_2] = flush_important,
	[DRAIN_WAIT] = settle,
	[DRAIN_KICK_2] = drain_dovecot_kick,
	[DRAIN_FLUSH_3] = flush_important,
	[DRAIN_DIRECTOR_DOWN] = drain_director_down,
	[DRAIN_DIRECTOR_FLUSH] = drain_director_flush,
	[DRAIN_MARK_CLEAN] = mark_clean,
};

static bool is_asked_for(const struct drain_options *options, enum drain_step step)
{
	switch (step) {
	case DRAIN_DIRECTOR_VHOSTS:
	case DRAIN_DIRECTOR_WAIT:
	case DRAIN_DIRECTOR_DOWN:
	case DRAIN_DIRECTOR_FLUSH:
		return options->director && step >= options->from;
	case DRAIN_PRUNE:
		return options->prune && step >= options->from;
	default:
		return step >= options->from;
	}
}

static void take_step(struct drain *drain, struct drain_row *row)
{
	int64_t started_ms = clock_mono_ms();

	row->result = drain->options->dry_run ? DRAIN_WOULD : DRAIN_DONE;
	log_info(drain->mc->log, "metacache_drain_step_started",
		 log_str("step", drain_step_name(row->step)));
	if (steps[row->step](drain, row) < 0)
		row->result = DRAIN_FAILED;
	row->duration_ms = clock_mono_ms() - started_ms;
	log_info(drain->mc->log, "metacache_drain_step_finished",
		 log_str("step", drain_step_name(row->step)),
		 log_str("result", drain_result_name(row->result)), log_uint("count", row->count),
		 log_str("detail", row->detail), log_int("duration_ms", row->duration_ms),
		 log_str("error", row->result == DRAIN_FAILED ? row->err.msg : NULL));
}

int drain_run(const struct metacache *mc, const struct drain_options *options,
	      const struct drain_callbacks *callbacks, struct drain_totals *totals_r,
	      struct err *err)
{
	struct drain drain = {
		.mc = mc, .options = options, .callbacks = callbacks, .totals = totals_r
	};
	bool failed = false;
	int ret = 0;

	*totals_r = (struct drain_totals){ 0 };
	for (int i = 0; ret == 0 && i < DRAIN_STEPS; i++) {
		struct drain_row row = { .step = (enum drain_step)i, .result = DRAIN_NOT_DONE };

		if (!is_asked_for(options, row.step))
			continue;
		if (!failed || options->force)
			take_step(&drain, &row);
		failed |= row.result == DRAIN_FAILED;
		ret = callbacks->step(callbacks->ctx, &row, err);
	}
	totals_r->complete = ret == 0 && !failed && !options->dry_run;
	doveadm_close(&drain.director);
	return ret;
}

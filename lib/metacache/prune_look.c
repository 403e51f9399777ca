#include "metacache/prune_look.h"

#include "base/quote.h"
#include "metacache/remote.h"
#include "metacache/session.h"
#include "metacache/state.h"

void prune_look_free(struct prune_look *look)
{
	cleanup_fd(&look->homefd);
	look->homefd = -1;
	unit_home_free(&look->scanned);
	metacache_home_free(&look->home);
	buf_free(&look->lost);
}

static int take_row(void *ctx, const struct registry_user *row, struct err *err)
{
	int64_t *latest = ctx;

	(void)err;
	for (int i = 0; i < UNIT_PRIORITIES; i++) {
		if (row->last_access[i] > *latest)
			*latest = row->last_access[i];
	}
	return 0;
}

int64_t prune_look_registered(const struct metacache *mc, const char *user)
{
	int64_t latest = 0;

	if (!mc->registry || registry_find(mc->registry, user, take_row, &latest, NULL) < 0)
		return 0;
	return latest;
}

int prune_look_open(const struct metacache *mc, const char *user, struct prune_look *look_r,
		    struct err *err)
{
	int ret;

	*look_r = PRUNE_LOOK_NONE;
	look_r->mc = mc;
	ret = metacache_find(mc, user, &look_r->home, err);
	if (ret <= 0)
		return ret;
	look_r->homefd = metacache_open_home(&look_r->home, err);
	if (look_r->homefd < 0 || unit_scan(look_r->homefd, &mc->rules, &look_r->scanned, err) < 0)
		return -1;
	for (size_t i = 0; i < look_r->scanned.units.count; i++)
		look_r->bytes += look_r->scanned.units.items[i].bytes;
	return 1;
}

static void note_access(struct prune_look *look, int64_t when_s)
{
	if (when_s > look->last_access_s)
		look->last_access_s = when_s;
}

void prune_look_accessed(struct prune_look *look, int64_t registered_s, bool with_state)
{
	autostate struct state state = { 0 };

	note_access(look, registered_s);
	for (size_t i = 0; i < look->scanned.units.count; i++)
		note_access(look, look->scanned.units.items[i].newest_ns / 1000000000);
	if (with_state && state_read(look->homefd, &state, NULL) > 0)
		note_access(look, state.last_access);
}

enum prune_session prune_look_session(const struct prune_look *look, struct err *err)
{
	int ret = session_logged_in(look->mc->doveadm, look->home.user, err);

	if (ret == 0) {
		ret = session_home_in_use(look->homefd, &look->scanned, err);
		if (ret > 0)
			err_set(err, ERR_BUSY, "a session has the indexes open");
	}
	if (ret < 0)
		return PRUNE_SESSION_UNKNOWN;
	return ret > 0 ? PRUNE_SESSION_LIVE : PRUNE_SESSION_NONE;
}

struct err *prune_look_err(struct prune_look *look, enum prune_unit unit)
{
	/* As prune_decide() asks for them. */
	static const unsigned order[] = { PRUNE_UNIT_UNKNOWN, PRUNE_UNIT_MISSING,
					  PRUNE_UNIT_FOREIGN, PRUNE_UNIT_INTERRUPTED,
					  PRUNE_UNIT_CONFLICT };

	for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
		if (look->err_of == order[i])
			return NULL;
		if (unit == order[i])
			break;
	}
	look->err_of = unit;
	err_clear(&look->err);
	return &look->err;
}

void prune_look_storage(struct prune_look *look)
{
	CLEANUP(remote_units_free) struct remote_unit_vec remote = { 0 };

	if (remote_list_user(look->mc->store, look->home.prefix, &remote, &look->err) < 0) {
		look->units = look->err_of = PRUNE_UNIT_UNKNOWN;
		return;
	}
	for (size_t i = 0; i < look->scanned.units.count; i++) {
		const struct unit *unit = &look->scanned.units.items[i];

		look->units |= prune_unit_judge(look, unit, remote_find(&remote, unit->id));
	}
	if (!look->scanned.foreign)
		return;
	look->units |= PRUNE_UNIT_FOREIGN;
	err_set(prune_look_err(look, PRUNE_UNIT_FOREIGN), ERR_DATA,
		"%s is in no bundle and would be lost", quote_str(look->scanned.foreign).s);
}

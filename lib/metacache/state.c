#include "metacache/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "json/json.h"

static const char *const standings[] = {
	[STATE_OBSOLETE] = "obsolete",
	[STATE_CONFLICT] = "conflict",
};

void state_free(struct state *state)
{
	free(state->boot);
	free(state->host);
	free(state->user);
	free(state->unit);
	free(state->base);
	free(state->last_service);
	free(state->installing);
	str_vec_free(&state->diffs);
	str_vec_free(&state->superseded);
	str_vec_free(&state->unmerged);
	str_vec_free(&state->folders);
	bundle_gone_free(&state->gone);
	unit_files_free(&state->files);
	unit_files_free(&state->replaced);
	*state = (struct state){ 0 };
}

void state_init(struct state *state, const char *user, const char *unit)
{
	*state = (struct state){
		.boot = xstrdup(""),
		.host = xstrdup(""),
		.user = xstrdup(user),
		.unit = xstrdup(unit),
		.last_service = xstrdup(""),
	};
	bundle_name_unique(state->next);
}

static int read_text(const struct json *root, const char *name, char **value_r, struct err *err)
{
	const char *value;
	int ret = json_get_str(root, name, &value, err);

	if (ret > 0)
		*value_r = xstrdup(value);
	return ret;
}

static int need_text(const struct json *root, const char *name, char **value_r, struct err *err)
{
	return json_need(read_text(root, name, value_r, err), name, err);
}

static int read_names(const struct json *root, const char *name, struct str_vec *names,
		      struct err *err)
{
	const struct json *array;
	int ret = json_get_array(root, name, &array, err);

	if (ret <= 0)
		return ret;
	for (size_t i = 0; i < json_count(array); i++) {
		const char *item = json_item_str(json_at(array, i));

		if (!item)
			return err_set(err, ERR_DATA, "member \"%s\": expected strings", name);
		vec_push(names, xstrdup(item));
	}
	return 0;
}

static int read_file(const struct json *item, const char *member, struct unit_file_vec *files,
		     struct err *err)
{
	struct unit_file file = { .ino = 0 };
	int64_t ino; /* JSON has no more: the upper half reads as negative (overlayfs uses it) */
	const char *name;

	if (json_need(json_get_str(item, "name", &name, err), "name", err) < 0 ||
	    json_need(json_get_uint(item, "size", &file.size_bytes, err), "size", err) < 0 ||
	    json_need(json_get_int(item, "mtime", &file.mtime_ns, err), "mtime", err) < 0 ||
	    json_need(json_get_int(item, "ino", &ino, err), "ino", err) < 0)
		return -1;
	file.ino = (uint64_t)ino;
	if (files->count > 0 && strcmp(files->items[files->count - 1].name, name) >= 0)
		return err_set(err, ERR_DATA, "member \"%s\": not sorted", member);
	file.name = xstrdup(name);
	vec_push(files, file);
	return 0;
}

static int read_files(const struct json *root, const char *member, struct unit_file_vec *files,
		      struct err *err)
{
	const struct json *array;
	int ret = json_get_array(root, member, &array, err);

	for (size_t i = 0; ret > 0 && i < json_count(array); i++) {
		if (read_file(json_at(array, i), member, files, err) < 0)
			ret = -1;
	}
	return ret;
}

/* A bundle's name becomes part of a request: it is one, or the file is no good. */
static int check_name(const char *member, const char *name, struct err *err)
{
	struct bundle_name parsed;

	if (name && !bundle_name_parse(name, &parsed))
		return err_set(err, ERR_DATA, "member \"%s\": no name of a bundle", member);
	return 0;
}

static int check_names(const struct state *state, struct err *err)
{
	const struct {
		const char *member;
		const struct str_vec *names;
	} lists[] = { { "diffs", &state->diffs },
		      { "superseded", &state->superseded },
		      { "unmerged", &state->unmerged } };

	if (check_name("base", state->base, err) < 0 ||
	    check_name("installing", state->installing, err) < 0)
		return -1;
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		for (size_t k = 0; k < lists[i].names->count; k++) {
			if (check_name(lists[i].member, lists[i].names->items[k], err) < 0)
				return -1;
		}
	}
	return 0;
}

static int read_u32(const struct json *object, const char *name, uint32_t *value_r, struct err *err)
{
	uint64_t value;

	if (json_need(json_get_uint(object, name, &value, err), name, err) < 0)
		return -1;
	if (value > UINT32_MAX)
		return err_set(err, ERR_DATA, "member \"%s\": more than 32 bits", name);
	*value_r = (uint32_t)value;
	return 0;
}

static int read_log(const struct json *root, struct index_position *log, struct err *err)
{
	const struct json *object;
	int ret = json_get_object(root, "log", &object, err);

	if (ret <= 0)
		return ret;
	if (read_u32(object, "indexid", &log->indexid, err) < 0 ||
	    read_u32(object, "seq", &log->file_seq, err) < 0 ||
	    json_need(json_get_uint(object, "offset", &log->offset, err), "offset", err) < 0)
		return err_prefix(err, "member \"log\"");
	return 0;
}

static int read_next(const struct json *root, struct state *state, struct err *err)
{
	const char *next;

	if (json_need(json_get_str(root, "next", &next, err), "next", err) < 0)
		return -1;
	if (strspn(next, "0123456789abcdef") != BUNDLE_UNIQUE_HEX ||
	    next[BUNDLE_UNIQUE_HEX] != '\0')
		return err_set(err, ERR_DATA, "member \"next\": expected %d hex digits",
			       BUNDLE_UNIQUE_HEX);
	memcpy(state->next, next, sizeof state->next);
	return 0;
}

static int read_standing(const struct json *root, struct state *state, struct err *err)
{
	const char *text;
	int ret = json_get_str(root, "standing", &text, err);

	if (ret <= 0)
		return ret;
	for (int i = STATE_OBSOLETE; i <= STATE_CONFLICT; i++) {
		if (strcmp(text, standings[i]) == 0)
			state->standing = (enum state_standing)i;
	}
	if (state->standing == STATE_CURRENT)
		return err_set(err, ERR_DATA, "member \"standing\": neither %s nor %s",
			       standings[STATE_OBSOLETE], standings[STATE_CONFLICT]);
	return 0;
}

static int read_members(const struct json *root, struct state *state, struct err *err)
{
	int64_t version;

	if (json_need(json_get_int(root, "version", &version, err), "version", err) < 0)
		return -1;
	if (version != STATE_VERSION)
		return err_set(err, ERR_DATA, "version %lld, this program knows %d",
			       (long long)version, STATE_VERSION);
	if (need_text(root, "boot", &state->boot, err) < 0 ||
	    need_text(root, "host", &state->host, err) < 0 ||
	    need_text(root, "user", &state->user, err) < 0 ||
	    need_text(root, "unit", &state->unit, err) < 0 ||
	    need_text(root, "last_service", &state->last_service, err) < 0 ||
	    read_text(root, "base", &state->base, err) < 0 ||
	    read_text(root, "installing", &state->installing, err) < 0 ||
	    json_get_uint(root, "base_bytes", &state->base_bytes, err) < 0 ||
	    read_names(root, "diffs", &state->diffs, err) < 0 ||
	    json_get_uint(root, "diff_bytes", &state->diff_bytes, err) < 0 ||
	    read_names(root, "superseded", &state->superseded, err) < 0 ||
	    read_names(root, "unmerged", &state->unmerged, err) < 0 ||
	    read_names(root, "folders", &state->folders, err) < 0 ||
	    bundle_gone_read(root, &state->gone, err) < 0 || read_next(root, state, err) < 0 ||
	    read_log(root, &state->log, err) < 0 ||
	    json_get_int(root, "tried", &state->tried_ns, err) < 0 ||
	    json_get_int(root, "uploaded", &state->uploaded_ns, err) < 0 ||
	    json_get_int(root, "last_access", &state->last_access, err) < 0 ||
	    json_get_bool(root, "refresh", &state->refresh, err) < 0 ||
	    read_standing(root, state, err) < 0 ||
	    read_files(root, "files", &state->files, err) < 0 ||
	    read_files(root, "replaced", &state->replaced, err) < 0)
		return -1;
	return check_names(state, err);
}

int state_parse(const char *text, size_t len, struct state *state_r, struct err *err)
{
	autojson struct json *root = NULL;

	*state_r = (struct state){ 0 };
	if (json_parse(text, len, &root, err) == 0 && read_members(root, state_r, err) == 0)
		return 0;
	state_free(state_r);
	return -1;
}

int state_read(int unitfd, struct state *state_r, struct err *err)
{
	autobuf struct buf text = { 0 };
	int ret = fsx_read(unitfd, UNIT_STATE_NAME, STATE_BYTES_MAX, &text, err);

	*state_r = (struct state){ 0 };
	if (ret <= 0)
		return ret;
	if (state_parse(buf_str(&text), text.len, state_r, err) < 0)
		return err_prefix(err, UNIT_STATE_NAME);
	return 1;
}

int state_read_of(int unitfd, const char *user, const char *unit, struct state *state_r,
		  struct err *err)
{
	int ret = state_read(unitfd, state_r, err);

	if (ret > 0 && (strcmp(state_r->user, user) != 0 || strcmp(state_r->unit, unit) != 0)) {
		state_free(state_r);
		return 0;
	}
	return ret;
}

void state_disown(struct state *state, const char *host)
{
	if (strcmp(state->host, host) != 0)
		memset(state->next, 0, sizeof state->next);
}

static void set_names(struct json *root, const char *name, const struct str_vec *names)
{
	struct json *array;

	if (names->count == 0)
		return;
	array = json_new_array();
	for (size_t i = 0; i < names->count; i++)
		json_add_str(array, names->items[i]);
	json_set(root, name, array);
}

static void set_log(struct json *root, const struct index_position *log)
{
	struct json *object;

	if (log->indexid == 0)
		return;
	object = json_new_object();
	json_set_int(object, "indexid", log->indexid);
	json_set_int(object, "seq", log->file_seq);
	json_set_int(object, "offset", (int64_t)log->offset);
	json_set(root, "log", object);
}

static void set_files(struct json *root, const char *member, const struct unit_file_vec *files)
{
	struct json *array = json_new_array();

	for (size_t i = 0; i < files->count; i++) {
		struct json *item = json_new_object();

		json_set_str(item, "name", files->items[i].name);
		json_set_int(item, "size", (int64_t)files->items[i].size_bytes);
		json_set_int(item, "mtime", files->items[i].mtime_ns);
		json_set_int(item, "ino", (int64_t)files->items[i].ino);
		json_add(array, item);
	}
	json_set(root, member, array);
}

int state_write(int unitfd, const struct state *state, struct fsx_stat *stat_r, struct err *err)
{
	autojson struct json *root = json_new_object();
	autobuf struct buf text = { 0 };

	json_set_int(root, "version", STATE_VERSION);
	json_set_str(root, "boot", state->boot);
	json_set_str(root, "host", state->host);
	json_set_str(root, "user", state->user);
	json_set_str(root, "unit", state->unit);
	json_set_str(root, "base", state->base);
	if (state->base)
		json_set_int(root, "base_bytes", (int64_t)state->base_bytes);
	set_names(root, "diffs", &state->diffs);
	if (state->diffs.count > 0)
		json_set_int(root, "diff_bytes", (int64_t)state->diff_bytes);
	set_names(root, "superseded", &state->superseded);
	set_names(root, "unmerged", &state->unmerged);
	json_set_str(root, "next", state->next);
	if (state->tried_ns != 0)
		json_set_int(root, "tried", state->tried_ns);
	set_log(root, &state->log);
	json_set_int(root, "uploaded", state->uploaded_ns);
	json_set_int(root, "last_access", state->last_access);
	json_set_str(root, "last_service", state->last_service);
	json_set_bool(root, "refresh", state->refresh);
	if (state->standing != STATE_CURRENT)
		json_set_str(root, "standing", standings[state->standing]);
	if (state->installing)
		json_set_str(root, "installing", state->installing);
	set_names(root, "folders", &state->folders);
	bundle_gone_set(root, &state->gone);
	set_files(root, "files", &state->files);
	if (state->replaced.count > 0)
		set_files(root, "replaced", &state->replaced);
	json_print(root, &text);
	buf_putc(&text, '\n');
	return fsx_replace(unitfd, UNIT_STATE_NAME, text.data, text.len, 0600, false, stat_r, err);
}

enum state_standing state_standing(const struct state *state)
{
	return state->unmerged.count > 0 ? STATE_CONFLICT : state->standing;
}

bool state_is_applied(const struct state *state, const char *bundle)
{
	return (state->base && strcmp(state->base, bundle) == 0) ||
	       str_vec_has(&state->diffs, bundle);
}

void state_set_files(struct state *state, const struct unit_file_vec *files)
{
	unit_files_free(&state->files);
	for (size_t i = 0; i < files->count; i++) {
		struct unit_file file = files->items[i];

		file.name = xstrdup(file.name);
		vec_push(&state->files, file);
	}
}

static bool is_same(const struct unit_file *a, const struct unit_file *b)
{
	return strcmp(a->name, b->name) == 0 && a->ino == b->ino &&
	       a->size_bytes == b->size_bytes && a->mtime_ns == b->mtime_ns;
}

bool state_same_files(const struct unit_file_vec *a, const struct unit_file_vec *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (!is_same(&a->items[i], &b->items[i]))
			return false;
	}
	return true;
}

/* Both are sorted; `at` goes forward with the files that are asked for. */
static bool has_file(const struct unit_file_vec *files, size_t *at, const struct unit_file *file)
{
	while (*at < files->count && strcmp(files->items[*at].name, file->name) < 0)
		++*at;
	return *at < files->count && is_same(&files->items[*at], file);
}

bool state_accounts_for(const struct state *state, const struct unit_file_vec *files)
{
	size_t new_at = 0, old_at = 0;

	for (size_t i = 0; i < files->count; i++) {
		bool is_new = has_file(&state->files, &new_at, &files->items[i]);

		if (!has_file(&state->replaced, &old_at, &files->items[i]) && !is_new)
			return false;
	}
	return true;
}

bool state_matches(const struct state *state, const struct unit_file_vec *files)
{
	return state->base && state_same_files(&state->files, files);
}

bool state_settled(const struct state *state, const struct unit_file_vec *files)
{
	return state_matches(state, files) && state->superseded.count == 0 &&
	       state_standing(state) == STATE_CURRENT && !state->installing;
}

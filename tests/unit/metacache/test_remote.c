#include "fixture.h"

#include "metacache/remote.h"
#include "store/store.h"

/* ---- the verdict ---- */

/* Names are written as letters: a capital is the base with that unique part, a
 * capital and a small letter a diff on it ("Ab"). A digit at the end makes it another
 * try of the same writer, at that time ("A5", "Ab5"). */
static char *name_of(const char *letters)
{
	autobuf struct buf name = { 0 };
	char unique[33] = { 0 }, try[33];
	bool is_diff = letters[1] >= 'a';
	char digit = letters[is_diff ? 2 : 1];
	int64_t seconds = digit && !is_diff ? digit - '0' : letters[0] - 'A' + 1;

	memset(unique, letters[0] - 'A' + 'a', 32);
	bundle_name_base(&name, seconds * 1000000000, unique);
	if (is_diff) {
		autofree char *base = buf_steal(&name);

		memset(unique, letters[1], 32);
		bundle_name_try(unique, (digit - '0') * INT64_C(1000000000), try);
		bundle_name_diff(&name, base, digit ? try : unique);
	}
	return buf_steal(&name);
}

static void add_names(struct str_vec *names, const char *list)
{
	autofree char *copy = xstrdup(list);
	char *at = NULL;

	for (char *word = strtok_r(copy, " ", &at); word; word = strtok_r(NULL, " ", &at))
		vec_push(names, name_of(word));
}

static void add_objects(struct remote_unit *unit, const char *list)
{
	struct str_vec names = { 0 };

	add_names(&names, list);
	for (size_t i = 0; i < names.count; i++) {
		struct remote_object object = { .name = xstrdup(names.items[i]) };

		assert_true(bundle_name_parse(object.name, &object.parsed));
		vec_push(&unit->objects, object);
	}
	str_vec_free(&names);
}

static void assert_names(const struct str_vec *names, const char *list)
{
	struct str_vec expected = { 0 };

	add_names(&expected, list);
	assert_int_equal(names->count, expected.count);
	for (size_t i = 0; i < expected.count; i++)
		assert_true(str_vec_has(names, expected.items[i]));
	str_vec_free(&expected);
}

static void test_judge(void **state)
{
	static const struct {
		const char *listed;
		const char *base; /* "" none; "-" there is no state at all */
		const char *diffs, *superseded, *unmerged;
		char next;
		enum remote_verdict verdict;
		const char *own;
	} rows[] = {
		/* nothing in storage */
		{ "", "-", "", "", "", 'f', REMOTE_NOTHING, "" },
		{ "", "", "", "", "", 'f', REMOTE_NOTHING, "" },
		{ "", "A", "", "", "", 'f', REMOTE_BASE_LOST, "" },
		/* nothing here */
		{ "A", "-", "", "", "", 'f', REMOTE_NEWER, "" },
		{ "A", "", "", "", "", 'f', REMOTE_NEWER, "" },
		/* as we left it */
		{ "A", "A", "", "", "", 'f', REMOTE_KNOWN, "" },
		{ "A Ab", "A", "Ab", "", "", 'f', REMOTE_KNOWN, "" },
		/* of somebody else */
		{ "A B", "A", "", "", "", 'f', REMOTE_NEWER, "" },
		{ "A Ab", "A", "", "", "", 'f', REMOTE_NEWER, "" },
		{ "B", "A", "", "", "", 'f', REMOTE_NEWER, "" },
		{ "A Af", "A", "", "", "", 'e', REMOTE_NEWER, "" },
		/* a diff whose base is gone, and that nobody here knows of */
		{ "A Bf", "A", "", "", "", 'e', REMOTE_NEWER, "" },
		{ "A Bf", "A", "", "Bf", "", 'e', REMOTE_KNOWN, "Bf" },
		/* an older one of somebody else is unknown too */
		{ "A B", "B", "", "", "", 'f', REMOTE_NEWER, "" },
		/* our own, whose reply was lost */
		{ "A F", "A", "", "", "", 'f', REMOTE_KNOWN, "F" },
		{ "A Af", "A", "", "", "", 'f', REMOTE_KNOWN, "Af" },
		{ "F", "", "", "", "", 'f', REMOTE_KNOWN, "F" },
		{ "F B", "", "", "", "", 'f', REMOTE_NEWER, "F" },
		/* the unique part of the base of a diff does not say who wrote the diff */
		{ "A F Fb", "A", "", "", "F", 'f', REMOTE_NEWER, "" },
		/* an earlier try of what became the base or the diff; a later one of another host,
		   from which this tree came, has more */
		{ "A1 A5", "A5", "", "", "", 'f', REMOTE_KNOWN, "A1" },
		{ "A1 A5", "A1", "", "", "", 'f', REMOTE_NEWER, "" },
		{ "A Ab3 Ab5", "A", "Ab5", "", "", 'f', REMOTE_KNOWN, "Ab3" },
		{ "A Ab3 Ab5", "A", "Ab3", "", "", 'f', REMOTE_NEWER, "" },
		{ "B Ba3 A5", "A5", "", "B", "", 'f', REMOTE_KNOWN, "B Ba3" },
		{ "B Ba7 A5", "A5", "", "B", "", 'f', REMOTE_NEWER, "B" },
		/* any try of ours, whatever its time */
		{ "A Af3 Af7", "A", "", "", "", 'f', REMOTE_KNOWN, "Af3 Af7" },
		/* superseded, still to be deleted */
		{ "A B", "B", "", "A", "", 'f', REMOTE_KNOWN, "A" },
		{ "A Ab B C", "C", "", "A Ab B", "", 'f', REMOTE_KNOWN, "A Ab B" },
		{ "A B C", "B", "", "A", "", 'f', REMOTE_NEWER, "A" },
		/* a conflict that is known */
		{ "A B", "A", "", "", "B", 'f', REMOTE_KNOWN, "" },
		{ "A B C", "A", "", "", "B", 'f', REMOTE_NEWER, "" },
		/* unmerged wins: what is in conflict is never ours to delete */
		{ "A B", "A", "", "B", "B", 'f', REMOTE_KNOWN, "" },
		/* what this tree was built from is gone, nothing new is there */
		{ "Ab", "A", "Ab", "", "", 'f', REMOTE_BASE_LOST, "" },
		{ "B", "A", "", "B", "", 'f', REMOTE_BASE_LOST, "B" },
		{ "B", "A", "", "", "B", 'f', REMOTE_BASE_LOST, "" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		autoremote struct remote_unit unit = { .id = xstrdup("") };
		autostate struct state s = { 0 };
		struct str_vec own = { 0 };
		bool no_state = rows[i].base[0] == '-';

		state_init(&s, "u", "");
		memset(s.next, rows[i].next, 32);
		if (rows[i].base[0] && !no_state)
			s.base = name_of(rows[i].base);
		add_names(&s.diffs, rows[i].diffs);
		add_names(&s.superseded, rows[i].superseded);
		add_names(&s.unmerged, rows[i].unmerged);
		add_objects(&unit, rows[i].listed);
		if (remote_judge(&unit, no_state ? NULL : &s, &own) != rows[i].verdict ||
		    remote_judge(&unit, no_state ? NULL : &s, NULL) != rows[i].verdict)
			fail_msg("row %zu: \"%s\" with base \"%s\"", i, rows[i].listed,
				 rows[i].base);
		assert_int_equal(remote_unknown(&unit, no_state ? NULL : &s) != NULL,
				 rows[i].verdict == REMOTE_NEWER);
		assert_names(&own, rows[i].own);
		str_vec_free(&own);
	}
	assert_int_equal(remote_judge(NULL, NULL, NULL), REMOTE_NOTHING);
}

/* Of several unknown ones, the newest. */
static void test_unknown(void **state)
{
	static const struct {
		const char *listed, *unknown;
	} rows[] = { { "A", NULL }, { "A B C D", "C" }, { "A B D", "B" }, { "A Ab Ac", "Ac" } };

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		autoremote struct remote_unit unit = { .id = xstrdup("") };
		autofree char *expected = rows[i].unknown ? name_of(rows[i].unknown) : NULL;
		autostate struct state s = { 0 };
		const struct remote_object *unknown;

		state_init(&s, "u", "");
		s.base = name_of("A");
		add_names(&s.unmerged, "D");
		add_objects(&unit, rows[i].listed);
		unknown = remote_unknown(&unit, &s);
		assert_int_equal(unknown != NULL, expected != NULL);
		if (unknown)
			assert_string_equal(unknown->name, expected);
	}
	assert_null(remote_unknown(NULL, NULL));
}

/* ---- listings, of a posix store ---- */

static struct store *open_store(const struct scratch *scratch, const char *chain)
{
	autofree char *url = xasprintf("%sposix:%s/store", chain, scratch->path);
	struct store *store = NULL;
	struct err err = { 0 };

	if (!has(scratch->fd, "store"))
		put_dir(scratch->fd, "store");
	if (store_open(url, &(struct store_options){ 0 }, &store, &err) < 0)
		fail_msg("%s", err.msg);
	return store;
}

/* The last digits tell the names apart. */
static const char *unit_end(const char *name)
{
	return name + strlen(name) - 2;
}

static void describe_unit(const struct remote_unit *unit, struct buf *out)
{
	buf_printf(out, "[%s]", unit->id);
	for (size_t i = 0; i < unit->objects.count; i++)
		buf_printf(out, " %s/%d", unit_end(unit->objects.items[i].name),
			   (int)unit->objects.items[i].size_bytes);
	buf_putc(out, '\n');
}

static void assert_units(const struct remote_unit_vec *units, const char *expected)
{
	autobuf struct buf text = { 0 };

	for (size_t i = 0; i < units->count; i++)
		describe_unit(&units->items[i], &text);
	assert_string_equal(buf_str(&text), expected);
}

#define BOX_A "store/u/mailboxes/" GUID_A

static void fill_store(const struct scratch *scratch)
{
	put(scratch->fd, "store/u/idx/" BASE_2, "22");
	put(scratch->fd, "store/u/idx/" BASE_1, "1");
	put(scratch->fd, "store/u/idx/" BASE_1 "-" UNIQUE_4, "4444");
	put(scratch->fd, BOX_A "/idx/" BASE_3, "333");
	put(scratch->fd, "store/u/fts/idx/" BASE_4, "");
	put(scratch->fd, "store/u/fts.lucene-indexes/idx/" BASE_1, "");
	/* what is no bundle of a unit */
	put(scratch->fd, "store/u/idx/foreign", "");
	put(scratch->fd, "store/u/idx/" BASE_1 ".tmp", "");
	put(scratch->fd, "store/u/idx/deeper/" BASE_1, "");
	put(scratch->fd, BOX_A "/0123456789abcdef", "a mail");
	put(scratch->fd, "store/u/mailboxes/" GUID_A "0/idx/" BASE_1, "");
	put(scratch->fd, "store/u/mailboxes/x/idx/" BASE_1, "");
	put(scratch->fd, "store/u/mailboxes/idx/" BASE_1, "");
	put(scratch->fd, "store/u/other/idx/" BASE_1, "");
	put(scratch->fd, "store/u/" BASE_1, "");
	/* another user whose name goes on */
	put(scratch->fd, "store/u2/idx/" BASE_4, "");
}

static const char listing[] = "[] 11/1 44/4 22/2\n[" GUID_A "] 33/3\n[fts] 44/0\n"
			      "[fts.lucene-indexes] 11/0\n";

static void test_list(void **state)
{
	const struct scratch *scratch = *state;
	autostore struct store *store = open_store(scratch, "");
	struct remote_unit_vec units = { 0 };
	struct err err = { 0 };

	fill_store(scratch);
	assert_int_equal(remote_list_at_once(store, "u", &units, &err), 1);
	assert_units(&units, listing);
	assert_string_equal(remote_find(&units, GUID_A)->objects.items[0].name, BASE_3);
	assert_string_equal(remote_find(&units, "")->objects.items[1].name, BASE_1 "-" UNIQUE_4);
	assert_null(remote_find(&units, GUID_B));
	remote_units_free(&units);
	assert_int_equal(remote_list_user(store, "u", &units, &err), 0);
	assert_units(&units, listing);
	remote_units_free(&units);
	assert_int_equal(remote_list_user(store, "nobody", &units, &err), 0);
	assert_int_equal(units.count, 0);
}

static void test_list_unit(void **state)
{
	static const struct {
		const char *id, *expected;
	} rows[] = {
		{ "", "[] 11/1 44/4 22/2\n" },
		{ GUID_A, "[" GUID_A "] 33/3\n" },
		{ "fts", "[fts] 44/0\n" },
		{ "fts.lucene-indexes", "[fts.lucene-indexes] 11/0\n" },
		{ GUID_B, "[" GUID_B "]\n" },
	};
	const struct scratch *scratch = *state;
	autostore struct store *store = open_store(scratch, "");

	fill_store(scratch);
	for (size_t i = 0; i < ROWS(rows); i++) {
		autoremote struct remote_unit unit = { 0 };
		autobuf struct buf text = { 0 };
		struct err err = { 0 };

		assert_int_equal(remote_list_unit(store, "u", rows[i].id, &unit, &err), 0);
		describe_unit(&unit, &text);
		assert_string_equal(buf_str(&text), rows[i].expected);
	}
}

/* More than a page: found by prefixes, with the same result. */
static void test_list_many(void **state)
{
	const struct scratch *scratch = *state;
	autostore struct store *store = open_store(scratch, "");
	struct remote_unit_vec units = { 0 };
	struct err err = { 0 };

	fill_store(scratch);
	for (int i = 0; i < 1100; i++) {
		autofree char *path = xasprintf(BOX_A "/%08d", i);

		put(scratch->fd, path, "");
	}
	assert_int_equal(remote_list_at_once(store, "u", &units, &err), 0);
	assert_int_equal(units.count, 0);
	assert_int_equal(remote_list_user(store, "u", &units, &err), 0);
	assert_units(&units, listing);
	remote_units_free(&units);
}

/* A failed listing is no empty one, at whichever request it fails. */
static void test_list_fails(void **state)
{
	static const char *const faults[] = { "fault:list@*=500:", "fault:list@*=truncate:",
					      "fault:list@1=denied:" };
	const struct scratch *scratch = *state;

	for (size_t i = 0; i < ROWS(faults); i++) {
		autostore struct store *store = open_store(scratch, faults[i]);
		struct remote_unit_vec units = { 0 };
		struct remote_unit unit;
		struct err err = { 0 };

		fill_store(scratch);
		assert_int_equal(remote_list_user(store, "u", &units, &err), -1);
		assert_int_not_equal(err.code, ERR_NONE);
		assert_int_equal(units.count, 0);
		if (i < 2)
			assert_int_equal(remote_list_unit(store, "u", "", &unit, &err), -1);
	}
}

static void test_prefix(void **state)
{
	static const struct {
		const char *id, *prefix;
	} rows[] = {
		{ "", "b5/899/u/idx/" },
		{ "fts", "b5/899/u/fts/idx/" },
		{ "fts.lucene-indexes", "b5/899/u/fts.lucene-indexes/idx/" },
		{ GUID_A, "b5/899/u/mailboxes/" GUID_A "/idx/" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		autobuf struct buf prefix = { 0 };

		remote_prefix(&prefix, "b5/899/u", rows[i].id);
		assert_string_equal(buf_str(&prefix), rows[i].prefix);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_judge),     scratch_test(test_unknown),
		scratch_test(test_list),      scratch_test(test_list_unit),
		scratch_test(test_list_many), scratch_test(test_list_fails),
		scratch_test(test_prefix),
	};

	return cmocka_run_group_tests_name("remote", tests, NULL, NULL);
}

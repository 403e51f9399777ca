/* S3's answers, good and hostile: a listing is whole or an error, never empty for
 * want of understanding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "store/store_s3_xml.h"

#define LIST(inner)                                                                                \
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?>"                                               \
	"<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">" inner               \
	"</ListBucketResult>"
#define URL "<EncodingType>url</EncodingType>"
#define LAST "<IsTruncated>false</IsTruncated>"
#define OBJECT(key) "<Contents><Key>" key "</Key><Size>5</Size></Contents>"
#define FOLDED(key) "<CommonPrefixes><Prefix>" key "</Prefix></CommonPrefixes>"

static const struct {
	const char *body, *prefix;
	size_t cut;
	const char *keys; /* what comes of it; NULL: an error */
	const char *says; /* its message */
} lists[] = {
	{ LIST(LAST), "", 0, "", NULL },
	{ LIST("<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"),
	  "", 0, "", NULL },
	{ LIST(URL LAST OBJECT("p/b") OBJECT("p/c") FOLDED("p/a/")), "p/", 2, "a/ b c", NULL },
	{ LIST(URL LAST OBJECT("a+b%2B%C3%A9")), "a", 0, "a b+\xc3\xa9", NULL },
	{ LIST(LAST OBJECT("a+b%2B&amp;&#233;")), "", 0, "a+b%2B&\xc3\xa9", NULL },
	{ LIST(LAST OBJECT("<![CDATA[a<b]]>")), "", 0, "a<b", NULL },
	{ LIST(URL LAST "<Prefix>a%2Fb</Prefix>" OBJECT("a/b/c")), "a/b", 0, "a/b/c", NULL },
	{ LIST(URL LAST "<Prefix>a/b c</Prefix>" OBJECT("a/b%20c")), "a/b c", 0, "a/b c", NULL },
	{ LIST(LAST "<Contents><Key>a/</Key><Size>0</Size></Contents>" OBJECT("a/b")), "a/", 0,
	  "a/b", NULL },
	{ LIST(LAST "<Contents><Owner><ID>x</ID></Owner><Key>a</Key><Size>5</Size></Contents>"), "",
	  0, "a", NULL },
	/* not whole */
	{ "", "", 0, NULL, "no complete XML" },
	{ "<ListBucketResult><IsTruncated>false</IsTruncated>", "", 0, NULL, "no complete XML" },
	{ LIST(LAST) "<x/>", "", 0, NULL, "no complete XML" },
	{ LIST(OBJECT("a")), "", 0, NULL, "lacks IsTruncated" },
	{ LIST(""), "", 0, NULL, "lacks IsTruncated" },
	{ LIST("<x>" LAST "</x>"), "", 0, NULL, "lacks IsTruncated" },
	{ LIST("<IsTruncated>true</IsTruncated>"), "", 0, NULL, "without a token" },
	{ LIST("<IsTruncated>perhaps</IsTruncated>"), "", 0, NULL, "neither true nor false" },
	{ LIST(LAST "<Contents><Size>5</Size></Contents>"), "", 0, NULL, "no key" },
	{ LIST(LAST "<Contents><Key>a</Key></Contents>"), "", 0, NULL, "no size" },
	{ LIST(LAST "<Contents><Key>a</Key><Size>-1</Size></Contents>"), "", 0, NULL, "no size" },
	{ LIST(LAST "<Contents><Key>a</Key><Size>5x</Size></Contents>"), "", 0, NULL, "no size" },
	{ LIST(LAST OBJECT("a") "<Contents><Size>5</Size></Contents>"), "", 0, NULL, "no key" },
	/* not what was asked for */
	{ "<html><body>Welcome</body></html>", "", 0, NULL, "of another kind" },
	{ "<Error><Code>x</Code></Error>", "", 0, NULL, "of another kind" },
	{ LIST(LAST OBJECT("b/x")), "a/", 0, NULL, "was not asked for" },
	{ LIST(LAST FOLDED("b/")), "a", 0, NULL, "was not asked for" },
	{ LIST(LAST "<Prefix>b</Prefix>"), "a", 0, NULL, "another prefix" },
	/* keys that are traps */
	{ LIST(LAST OBJECT("a/../../etc/passwd")), "a/", 0, NULL, "can't be one" },
	{ LIST(LAST OBJECT("a//b")), "a/", 0, NULL, "can't be one" },
	{ LIST(LAST OBJECT("/etc/passwd")), "", 0, NULL, "can't be one" },
	{ LIST(LAST OBJECT("a/")), "a", 0, NULL, "can't be one" },
	{ LIST(LAST FOLDED("../")), "", 0, NULL, "can't be one" },
	{ LIST(URL LAST OBJECT("a%0Ab")), "", 0, NULL, "can't be one" },
	{ LIST(URL LAST OBJECT("a%FFb")), "", 0, NULL, "can't be one" },
	{ LIST(URL LAST OBJECT("a%00b")), "", 0, NULL, "broken escape" },
	{ LIST(URL LAST OBJECT("a%4")), "", 0, NULL, "broken escape" },
	/* attacks on the parser */
	{ "<!DOCTYPE x>" LIST(LAST), "", 0, NULL, "DOCTYPE" },
	{ "<!DOCTYPE x [<!ENTITY a \"b\">]>" LIST(LAST), "", 0, NULL, "DOCTYPE" },
	{ LIST(LAST "<a><a><a><a><a><a><a><a></a></a></a></a></a></a></a></a>"), "", 0, NULL,
	  "nested too deep" },
	{ LIST(LAST "&nope;"), "", 0, NULL, "no complete XML" },
};

static void keys_of(const struct store_s3_page *page, struct buf *out)
{
	for (size_t i = 0; i < page->entries.count; i++)
		buf_printf(out, "%s%s", i > 0 ? " " : "", page->entries.items[i].key);
}

static void test_lists(void **state)
{
	struct store_s3_page page = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		autobuf struct buf keys = { 0 };
		struct err err = { 0 };
		int ret = store_s3_xml_list(lists[i].body, strlen(lists[i].body), lists[i].prefix,
					    lists[i].cut, &page, &err);

		if (ret != (lists[i].keys ? 0 : -1))
			fail_msg("row %zu: %d, %s", i, ret, err.msg);
		keys_of(&page, &keys);
		if (ret == 0 && strcmp(buf_str(&keys), lists[i].keys) != 0)
			fail_msg("row %zu: %s", i, buf_str(&keys));
		if (ret < 0 && (err.code != ERR_DATA || !strstr(err.msg, lists[i].says)))
			fail_msg("row %zu: %d, %s", i, err.code, err.msg);
		assert_null(strchr(err.msg, '\n'));
	}
	store_s3_page_free(&page);
}

static void test_fields(void **state)
{
	static const char body[] = LIST(
		URL "<IsTruncated>true</IsTruncated>"
		    "<NextContinuationToken>a+b/=</NextContinuationToken><Contents><Key>k</Key>"
		    "<LastModified>2026-11-23T09:44:25.000Z</LastModified><Size>123456789012"
		    "</Size></Contents>");
	struct store_s3_page page = { 0 };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(store_s3_xml_list(body, strlen(body), "", 0, &page, &err), 0);
	assert_string_equal(buf_str(&page.token), "a+b/=");
	assert_int_equal(page.entries.items[0].size_bytes, 123456789012);
	assert_int_equal(page.entries.items[0].modified, 1795427065);
	assert_false(page.entries.items[0].is_prefix);
	store_s3_page_free(&page);
}

/* Cut anywhere, a listing is an error. */
static void test_every_beginning(void **state)
{
	static const char body[] =
		LIST(URL LAST "<Prefix>p/</Prefix>" OBJECT("p/b") FOLDED("p/a/"));
	struct store_s3_page page = { 0 };

	(void)state;
	for (size_t len = 0; len < strlen(body); len++) {
		autofree char *part = xstrndup(body, len);

		if (store_s3_xml_list(part, len, "p/", 0, &page, NULL) == 0)
			fail_msg("%zu bytes are a listing: %s", len, part);
	}
	store_s3_page_free(&page);
}

static void test_long_text(void **state)
{
	autobuf struct buf body = { 0 };
	struct store_s3_page page = { 0 };
	struct err err = { 0 };

	(void)state;
	buf_puts(&body, "<ListBucketResult><IsTruncated>false</IsTruncated><Name>");
	memset(buf_reserve(&body, 10000), 'x', 10000);
	body.len += 10000;
	buf_puts(&body, "</Name></ListBucketResult>");
	assert_int_equal(store_s3_xml_list(body.data, body.len, "", 0, &page, &err), -1);
	assert_non_null(strstr(err.msg, "too long"));
	store_s3_page_free(&page);
}

static void note(void *ctx, const char *key, const struct store_s3_error *error)
{
	buf_printf(ctx, "[%s|%s|%s]", key, error->code, error->message);
}

static const struct {
	const char *body;
	const char *failed; /* NULL: an error */
} deletes[] = {
	{ "<DeleteResult/>", "" },
	{ "<DeleteResult><Deleted><Key>a</Key></Deleted></DeleteResult>", "" },
	{ "<DeleteResult><Error><Key>a &amp; b</Key><Code>AccessDenied</Code><Message>No&#10;\x1b"
	  "</Message></Error></DeleteResult>",
	  NULL },
	{ "<DeleteResult><Error><Key>a &amp; b</Key><Code>AccessDenied</Code><Message>No&#10;x"
	  "</Message></Error><Error><Key>c</Key></Error></DeleteResult>",
	  "[a & b|AccessDenied|No x][c||]" },
	{ "", NULL },
	{ "<DeleteResult>", NULL },
	{ "<Error><Code>x</Code></Error>", NULL },
	{ "<!DOCTYPE x><DeleteResult/>", NULL },
};

static void test_deletes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof deletes / sizeof *deletes; i++) {
		autobuf struct buf failed = { 0 };
		struct err err = { 0 };
		int ret = store_s3_xml_deleted(deletes[i].body, strlen(deletes[i].body), note,
					       &failed, &err);

		if (ret != (deletes[i].failed ? 0 : -1))
			fail_msg("row %zu: %d, %s", i, ret, err.msg);
		if (ret == 0)
			assert_string_equal(buf_str(&failed), deletes[i].failed);
	}
}

static void error_is(const char *body, const char *code, const char *message)
{
	struct store_s3_error error;

	store_s3_xml_error(body, strlen(body), &error);
	assert_string_equal(error.code, code);
	assert_string_equal(error.message, message);
}

static void test_errors(void **state)
{
	autobuf struct buf body = { 0 };
	struct store_s3_error error;

	(void)state;
	error_is("<Error><Code>NoSuchKey</Code><Message>It is\n\tnot \xe2\x80\xae there</Message>"
		 "</Error>",
		 "NoSuchKey", "It is  not   there");
	error_is("<Error><Resource>x</Resource></Error>", "", "");
	error_is("<html><Code>x</Code></html>", "", "");
	error_is("<Error><Code>NoSuchKey</Code>", "", "");
	error_is("nonsense", "", "");
	error_is("", "", "");
	buf_puts(&body, "<Error><Code>");
	for (int i = 0; i < 100; i++)
		buf_puts(&body, "\xc3\xa9");
	buf_puts(&body, "</Code></Error>");
	store_s3_xml_error(body.data, body.len, &error);
	assert_int_equal(strlen(error.code), 62);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),           cmocka_unit_test(test_fields),
		cmocka_unit_test(test_every_beginning), cmocka_unit_test(test_long_text),
		cmocka_unit_test(test_deletes),         cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

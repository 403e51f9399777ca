#include "store/store_url_s3.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/quote.h"
#include "store/store_key.h"
#include "store/store_url_param.h"

static const char escape_hint[] =
	"write / ? # @ : % + in the key and the secret as %2F %3F %23 %40 %3A %25 %2B";

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *store_url_s3_decode(const char *text, size_t len)
{
	autobuf struct buf out = { 0 };

	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)text[i];

		if (c == '%') {
			if (len - i < 3 || hex_digit(text[i + 1]) < 0 || hex_digit(text[i + 2]) < 0)
				return NULL;
			c = hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]);
			i += 2;
		}
		if (c < 0x20 || c == 0x7f)
			return NULL;
		buf_putc(&out, (char)c);
	}
	return buf_steal(&out);
}

static int parse_userinfo(const char *text, size_t len, struct store_url_s3 *url, struct err *err)
{
	const char *colon = memchr(text, ':', len);
	size_t key_len = colon ? (size_t)(colon - text) : len;

	url->access_key = store_url_s3_decode(text, key_len);
	if (colon)
		url->secret_key = store_url_s3_decode(colon + 1, len - key_len - 1);
	if (!url->access_key || !url->secret_key || url->access_key[0] == '\0' ||
	    url->secret_key[0] == '\0') {
		err_set(err, ERR_CONFIG, "what stands before the '@' is not KEY:SECRET");
		return err_hint(err, "%s", escape_hint);
	}
	return 0;
}

static bool host_is_valid(const char *host)
{
	static const char name_chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					 "0123456789-._";
	size_t len;

	if (host[0] == '[') {
		len = 1 + strspn(host + 1, "0123456789abcdefABCDEF:.");
		if (len < 4 || host[len++] != ']')
			return false;
	} else {
		len = strspn(host, name_chars);
		if (len == 0 || host[0] == '.' || host[0] == '-')
			return false;
	}
	if (host[len] == ':') {
		const char *port = host + len + 1;
		size_t digits = strspn(port, "0123456789");

		return digits > 0 && digits <= 5 && port[digits] == '\0' && atoi(port) > 0 &&
		       atoi(port) < 65536;
	}
	return host[len] == '\0';
}

static int parse_authority(const char *text, size_t len, struct store_url_s3 *url, struct err *err)
{
	const char *at = memrchr(text, '@', len);

	if (at) {
		if (parse_userinfo(text, (size_t)(at - text), url, err) < 0)
			return -1;
		len -= (size_t)(at - text) + 1;
		text = at + 1;
	}
	url->host = xstrndup(text, len);
	/* The text is not repeated: it holds a piece of the secret when a '/' in it
	 * was not escaped. */
	if (!host_is_valid(url->host)) {
		err_set(err, ERR_CONFIG, "there is no valid host and port after the scheme");
		return err_hint(err, "%s", escape_hint);
	}
	return 0;
}

static int parse_path(const char *text, size_t len, struct store_url_s3 *url, struct err *err)
{
	autofree char *path = NULL;
	size_t path_len;

	/* "KEY:12/CRET@host/" would else be read as a host and a path. */
	if (memchr(text, '@', len)) {
		err_set(err, ERR_CONFIG, "a bare '@' stands after the host");
		return err_hint(err, "%s", escape_hint);
	}
	while (len > 0 && *text == '/')
		text++, len--;
	path = store_url_s3_decode(text, len);
	if (!path)
		return err_set(err, ERR_CONFIG, "the path has a broken %%-escape");
	path_len = strlen(path);
	if (path_len > STORE_KEY_MAX / 2)
		return err_set(err, ERR_CONFIG, "the path is too long");
	url->prefix = path_len == 0 || path[path_len - 1] == '/' ? steal_ptr(&path)
								 : xasprintf("%s/", path);
	if (store_key_check_prefix(url->prefix, err) < 0) {
		if (err)
			err->code = ERR_CONFIG;
		return err_prefix(err, "the path");
	}
	return 0;
}

static int parse_query(const char *text, struct store_url_s3 *url, struct err *err)
{
	if (strchr(text, '#')) {
		err_set(err, ERR_CONFIG, "the URL has a '#'");
		return err_hint(err, "%s", escape_hint);
	}
	while (*text != '\0') {
		size_t len = strcspn(text, "&");

		if (len > 0 && store_url_param_set(url, text, len, err) < 0)
			return -1;
		text += len;
		if (*text == '&')
			text++;
	}
	return 0;
}

/* bucket.s3.REGION.amazonaws.com, s3.REGION.amazonaws.com */
static char *region_of_host(const char *host)
{
	const char *end = strstr(host, ".amazonaws.com");
	const char *start = strstr(host, "s3.");

	if (!end || !start || start + 3 >= end || memchr(start + 3, '.', (size_t)(end - start - 3)))
		return xstrdup("us-east-1");
	return xstrndup(start + 3, (size_t)(end - start - 3));
}

static int complete(struct store_url_s3 *url, struct err *err)
{
	if (!url->region)
		url->region = region_of_host(url->host);
	if (url->bucket) {
		url->path_style = true;
		return 0;
	}
	if (url->host[0] == '[' || !strchr(url->host, '.') ||
	    url->host[strspn(url->host, "0123456789.:")] == '\0') {
		err_set(err, ERR_CONFIG, "no bucket: neither a bucket parameter nor one in host %s",
			quote_str(url->host).s);
		return err_hint(err, "add ?bucket=NAME, or use https://NAME.%s/", url->host);
	}
	url->bucket = xstrndup(url->host, strcspn(url->host, "."));
	return 0;
}

int store_url_s3_parse(const char *text, struct store_url_s3 *url_r, struct err *err)
{
	size_t authority, path;

	store_url_param_defaults(url_r);
	if (strncmp(text, "https://", 8) == 0)
		url_r->tls = true;
	else if (strncmp(text, "http://", 7) != 0)
		return err_set(err, ERR_CONFIG, "the URL begins with neither https:// nor http://");
	text += url_r->tls ? 8 : 7;
	authority = strcspn(text, "/?#");
	path = strcspn(text + authority, "?#");
	if (parse_authority(text, authority, url_r, err) < 0 ||
	    parse_path(text + authority, path, url_r, err) < 0)
		return -1;
	text += authority + path;
	if (parse_query(*text == '?' ? text + 1 : text, url_r, err) < 0)
		return -1;
	store_url_param_inherit(url_r);
	return complete(url_r, err);
}

void store_url_s3_free(struct store_url_s3 *url)
{
	free(url->host);
	free(url->bucket);
	free(url->prefix);
	free(url->region);
	free(url->access_key);
	if (url->secret_key)
		explicit_bzero(url->secret_key, strlen(url->secret_key));
	free(url->secret_key);
	free(url->auth_role);
	str_vec_free(&url->add_headers);
	str_vec_free(&url->log_headers);
}

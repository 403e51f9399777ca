#include "cluster/host.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

static int parse_ipv6(const char *text, struct host *host)
{
	struct in6_addr address;
	const unsigned char *bytes = address.s6_addr;

	if (inet_pton(AF_INET6, text, &address) != 1)
		return -1;
	host->is_address = true;
	if (IN6_IS_ADDR_V4MAPPED(&address))
		inet_ntop(AF_INET, bytes + 12, host->text, sizeof host->text);
	else
		inet_ntop(AF_INET6, bytes, host->text, sizeof host->text);
	return 0;
}

/* 10.1, 0x7f.1 and 2130706433 are addresses to some, so what ends in a number is no name. */
static bool is_number(const char *label)
{
	bool is_hex = strncmp(label, "0x", 2) == 0;

	return label[strspn(label, is_hex ? "0123456789abcdefx" : "0123456789")] == '\0';
}

static int parse_name(const char *text, size_t len, struct host *host)
{
	const char *last;

	for (size_t i = 0; i < len; i++) {
		if (!isalnum((unsigned char)text[i]) && !strchr("-_.", text[i]))
			return -1;
		if (text[i] == '.' && (i == 0 || text[i - 1] == '.'))
			return -1;
		host->text[i] = (char)tolower((unsigned char)text[i]);
	}
	host->text[len] = '\0';
	last = strrchr(host->text, '.');
	return is_number(last ? last + 1 : host->text) ? -1 : 0;
}

int host_parse(const char *text, struct host *host_r)
{
	size_t len = strlen(text);
	struct in_addr address;
	char inner[HOST_MAX + 1];

	*host_r = (struct host){ 0 };
	if (len == 0 || len > HOST_MAX)
		return -1;
	if (inet_pton(AF_INET, text, &address) == 1) {
		host_r->is_address = true;
		snprintf(host_r->text, sizeof host_r->text, "%s", text);
		return 0;
	}
	if (text[0] == '[' && text[len - 1] == ']') {
		snprintf(inner, sizeof inner, "%.*s", (int)len - 2, text + 1);
		return parse_ipv6(inner, host_r);
	}
	if (strchr(text, ':'))
		return parse_ipv6(text, host_r);
	if (text[len - 1] == '.')
		len--;
	return len == 0 ? -1 : parse_name(text, len, host_r);
}

/* Whether `text` is `name` with a domain after it. */
static bool has_domain(const char *text, const char *name)
{
	size_t len = strlen(name);

	return strncmp(text, name, len) == 0 && text[len] == '.';
}

enum host_match host_compare(const struct host *a, const struct host *b)
{
	if (a->is_address != b->is_address)
		return HOST_CANT_TELL;
	if (strcmp(a->text, b->text) == 0)
		return HOST_SAME;
	if (!a->is_address && (has_domain(a->text, b->text) || has_domain(b->text, a->text)))
		return HOST_CANT_TELL;
	return HOST_OTHER;
}

/* Names and addresses of hosts, made comparable. Pure: nobody is asked, so a name is never
 * taken for an address. */
#pragma once

#include <stdbool.h>

#define HOST_MAX 255

struct host {
	bool is_address;
	char text[HOST_MAX + 1]; /* canonical: 127.0.0.1, ::1, backend1.example.com */
};

/* An IPv4 address in its usual form, an IPv6 one in any (also in brackets, or that of an
 * IPv4 address), or a DNS name. 0, or -1: it is none of these ("", "10.1", "h:143"). */
int host_parse(const char *text, struct host *host_r);

enum host_match {
	HOST_SAME,
	HOST_OTHER,
	HOST_CANT_TELL, /* a name and an address, or a name with and without its domain */
};
enum host_match host_compare(const struct host *a, const struct host *b);

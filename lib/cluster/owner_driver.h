/* What a resolver of owners is behind owner.h; private to this folder. */
#pragma once

#include "cluster/host.h"
#include "cluster/owner.h"

struct owner_driver {
	const char *scheme; /* what the setting begins with */
	bool keep_scheme;   /* it is part of what open() gets */
	size_t batch_max;   /* so many users in one lookup() */
	/* -1 ERR_CONFIG */
	int (*open)(struct owner *owner, const char *rest, struct err *err);
	void (*close)(struct owner *owner);
	/* Every answer is OWNER_UNKNOWN without an error when it comes in. -1: nothing is known
	 * of any of them. Those that are left without an error get a general one. */
	int (*lookup)(struct owner *owner, struct owner_answer *const *answers, size_t count,
		      struct err *err);
};

struct owner {
	const struct settings *settings;
	const struct owner_driver *driver;
	struct host here;
	void *state; /* the driver's */
};

extern const struct owner_driver owner_http_driver, owner_https_driver, owner_admin_driver,
	owner_map_driver, owner_command_driver;

/* It is not known, and why. */
void owner_driver_unknown(struct owner_answer *answer, enum err_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* It is known. */
void owner_driver_known(struct owner_answer *answer, enum owner_where where,
			const struct host *host);

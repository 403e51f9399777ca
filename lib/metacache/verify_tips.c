#include <stdlib.h>
#include <string.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "metacache/fetch.h"
#include "metacache/trash.h"
#include "metacache/verify_look.h"

/* Diffs sort right after their base. */
bool verify_tips_is_one(const struct remote_unit *remote, size_t i)
{
	const struct remote_object *object = &remote->objects.items[i];

	if (object->parsed.is_diff)
		return !remote_is_orphan(remote, object);
	return i + 1 == remote->objects.count || !object[1].parsed.is_diff ||
	       remote_base_of(remote, object + 1) != object;
}

bool verify_tips_is_plain(const struct remote_unit *remote)
{
	size_t tips = 0;

	for (size_t i = 0; i < remote->objects.count; i++) {
		if (remote_is_orphan(remote, &remote->objects.items[i]))
			return false;
		tips += verify_tips_is_one(remote, i);
	}
	return tips == 1;
}

ssize_t verify_tips_next(const struct remote_unit *remote, const struct verify_included *included,
			 size_t i)
{
	while (i-- > 0) {
		if (verify_tips_is_one(remote, i) &&
		    !str_vec_has(&included->names, remote->objects.items[i].name))
			return (ssize_t)i;
	}
	return -1;
}

/* As if it were the only one. */
int verify_tips_unpack(struct verify_look *look, const struct remote_unit *remote,
		       const struct remote_object *tip, char **refused_r, struct err *err)
{
	const struct remote_object *base = tip->parsed.is_diff ? remote_base_of(remote, tip) : NULL;
	struct remote_object objects[2] = { base ? *base : *tip, *tip };
	struct remote_unit alone = {
		.id = remote->id,
		.objects = { .items = objects, .count = base ? 2 : 1 },
	};
	autotrash struct trash staging = TRASH_NONE;
	autofetched struct fetched fetched = { 0 };
	int ret;

	if (trash_new(look->home.root, &staging, err) < 0)
		return -1;
	ret = fetch_unit(look->mc, &look->home, &alone, NULL, staging.fd, "unit", &fetched, err);
	look->stale |= ret == 0;
	look->counts.bytes += fetched.bytes;
	if (ret < 0 && err->code == ERR_DATA && fetched.refused) {
		*refused_r = steal_ptr(&fetched.refused);
		return 0;
	}
	return ret;
}

int verify_tips_prove(struct verify_look *look, const struct remote_unit *remote,
		      const struct verify_included *included, struct err *err)
{
	ssize_t i = (ssize_t)remote->objects.count;
	size_t tips = 0;

	while ((i = verify_tips_next(remote, included, (size_t)i)) >= 0) {
		const struct remote_object *tip = &remote->objects.items[i];
		autofree char *refused = NULL;
		int ret = 1;

		tips++;
		if (!str_vec_has(&included->proved, tip->name))
			ret = verify_tips_unpack(look, remote, tip, &refused, err);
		if (ret == 0 && !refused)
			err_set(err, ERR_BUSY, "%s is gone since it was listed", tip->name);
		if (ret <= 0)
			return ret;
	}
	if (tips > 0)
		return 1;
	err_set(err, ERR_DATA, "storage has no bundle of the unit that can be read");
	return 0;
}

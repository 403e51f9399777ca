#include "common/common_fscache.h"

#include <stdlib.h>
#include <unistd.h>

#include "fscache/fscache_split.h"
#include "store/store_url.h"

int common_fscache_paths(const struct settings *settings, struct str_vec *paths,
			 uint64_t *limit_bytes_r, struct err *err)
{
	autostoreurl struct store_url url = { 0 };

	if (settings->obox_fs && store_url_parse(settings->obox_fs, &url, err) < 0)
		return err_prefix(err, "obox_fs");
	if (!url.fscache_path)
		return err_set(err, ERR_CONFIG, "obox_fs has no fscache:SIZE:PATH:");
	if (limit_bytes_r)
		*limit_bytes_r = url.fscache_limit_bytes;
	return fscache_split_find(url.fscache_path, paths, err);
}

char *common_fscache_absolute(const char *path)
{
	autofree char *here = path[0] == '/' ? NULL : getcwd(NULL, 0);

	return here ? xasprintf("%s/%s", here, path) : xstrdup(path);
}

#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store.h"

static int read_descriptor(int fd, struct spool *into, struct err *err)
{
	char block[65536];
	ssize_t n;

	while ((n = read(fd, block, sizeof block)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "read");
		if (spool_write(into, block, (size_t)n, err) < 0)
			return -1;
	}
	return 0;
}

static int read_file(const char *path, struct spool *into, struct err *err)
{
	autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, errno, "open");
	/* A device may never end. */
	if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode))
		return err_set(err, ERR_NOINPUT, "not a file");
	return read_descriptor(fd, into, err);
}

static int read_object(const struct settings *settings, const char *key, struct spool *into,
		       struct err *err)
{
	struct store_options store_options = { .spool_dir = settings->spool_dir };
	autostore struct store *store = NULL;
	int found;

	if (!settings->obox_index_fs)
		return err_set(err, ERR_CONFIG, "obox_index_fs is not set");
	if (store_open(settings->obox_index_fs, &store_options, &store, err) < 0)
		return err_prefix(err, "obox_index_fs");
	found = store_get(store, key, into, err);
	return found == 0 ? err_set(err, ERR_NOINPUT, "no such object in %s", store_name(store))
			  : (found < 0 ? -1 : 0);
}

int source_read(const struct settings *settings, const char *name, struct spool *into,
		struct err *err)
{
	if (settings)
		return read_object(settings, name, into, err);
	return strcmp(name, "-") == 0 ? read_descriptor(STDIN_FILENO, into, err)
				      : read_file(name, into, err);
}

#include "metacache/session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

#include "base/cleanup.h"
#include "base/fsx.h"
#include "cluster/doveadm.h"

static int file_in_use(int unitfd, const char *name, struct err *err)
{
	autofd int fd = fsx_openat(unitfd, name, O_RDONLY | O_NONBLOCK, 0);

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return errno == EWOULDBLOCK ? 1 : err_sys(err, errno, "open %s", name);
	/* A lease that is broken sends SIGIO, which ends a process by default;
	 * SIGURG does nothing by default. */
	if (fcntl(fd, F_SETSIG, SIGURG) < 0)
		return err_sys(err, errno, "prepare a lease on %s", name);
	if (fcntl(fd, F_SETLEASE, F_WRLCK) == 0)
		return 0; /* closing the handle gives it back */
	if (errno == EAGAIN || errno == EBUSY)
		return 1;
	err_sys(err, errno, "see whether %s is in use", name);
	return err_hint(err, "file leases must work on the filesystem of the metacache root");
}

int session_unit_in_use(int unitfd, const struct unit *unit, struct err *err)
{
	for (size_t i = 0; i < unit->files.count; i++) {
		int ret = file_in_use(unitfd, unit->files.items[i].name, err);

		if (ret != 0)
			return ret;
	}
	return 0;
}

int session_home_in_use(int homefd, const struct home *home, struct err *err)
{
	for (size_t i = 0; i < home->units.count; i++) {
		const struct unit *unit = &home->units.items[i];
		autofd int unitfd = fsx_opendir(homefd, unit->path);
		int ret;

		if (unitfd < 0 && errno == ENOENT)
			continue;
		if (unitfd < 0)
			return err_sys(err, errno, "open directory %s", unit->path);
		ret = session_unit_in_use(unitfd, unit, err);
		if (ret != 0)
			return ret;
	}
	return 0;
}

int session_logged_in(struct doveadm *doveadm, const char *user, struct err *err)
{
	unsigned sessions = 0;

	if (!doveadm)
		return 0;
	if (doveadm_who(doveadm, user, &sessions, err) < 0)
		return -1;
	if (sessions == 0)
		return 0;
	err_set(err, ERR_BUSY, "the user is logged in here");
	err_again(err);
	return 1;
}

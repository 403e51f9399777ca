/*
 * What killat can tell of a call that another process is about to make.
 */
#ifndef KILLAT_LOOK_H
#define KILLAT_LOOK_H

#include <arpa/inet.h>
#include <linux/openat2.h>
#include <linux/ptrace.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "killat_calls.h"

#define LOOK_PATH_MAX 1024

/* A call, in words. */
struct look {
	const struct call *call;
	bool net;
	char what[2 * LOOK_PATH_MAX + 8]; /* its path, paths or peer */
};

/* A string in another process, cut to fit; a byte at a time near the end of a page. */
static inline void look_string(pid_t tid, uint64_t address, char *text, size_t size)
{
	size_t len = 0;
	while (len + 1 < size) {
		size_t want = 4096 - (address + len) % 4096;
		if (want > size - 1 - len)
			want = size - 1 - len;
		struct iovec here = { text + len, want };
		struct iovec there = { (void *)(uintptr_t)(address + len), want };
		ssize_t got = process_vm_readv(tid, &here, 1, &there, 1, 0);
		if (got <= 0)
			break;
		char *end = memchr(text + len, '\0', (size_t)got);
		if (end != NULL)
			return;
		len += (size_t)got;
	}
	text[len] = '\0';
}

static inline void look_link(pid_t tid, const char *name, char *text, size_t size)
{
	char link[64];
	snprintf(link, sizeof(link), "/proc/%d/%s", (int)tid, name);
	ssize_t len = readlink(link, text, size - 1);
	text[len < 0 ? 0 : len] = '\0';
}

static inline void look_fd(pid_t tid, int fd, char *text, size_t size)
{
	char name[32];
	snprintf(name, sizeof(name), "fd/%d", fd);
	look_link(tid, name, text, size);
}

/* The path that directory handle dir (or the working directory) and a string make. */
static inline void look_path(pid_t tid, const uint64_t *args, int dir, int path, char *text,
			     size_t size)
{
	char base[LOOK_PATH_MAX] = "", name[LOOK_PATH_MAX] = "";
	if (path != NO_ARG && args[path] != 0)
		look_string(tid, args[path], name, sizeof(name));
	if (name[0] != '/') {
		int fd = dir == NO_ARG ? AT_FDCWD : (int)args[dir];
		if (fd == AT_FDCWD)
			look_link(tid, "cwd", base, sizeof(base));
		else
			look_fd(tid, fd, base, sizeof(base));
	}
	snprintf(text, size, "%s%s%s", base, base[0] != '\0' && name[0] != '\0' ? "/" : "", name);
}

static inline pid_t look_process_of(pid_t tid)
{
	char name[64], line[256];
	int tgid = tid;
	snprintf(name, sizeof(name), "/proc/%d/status", (int)tid);
	FILE *f = fopen(name, "re");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "Tgid: %d", &tgid) == 1)
			break;
	}
	if (f != NULL)
		fclose(f);
	return tgid;
}

/* Whether a socket in another process is TCP, and who is at its other end. */
static inline bool look_tcp(pid_t tid, int fd, char *text, size_t size)
{
	int process = (int)syscall(SYS_pidfd_open, look_process_of(tid), 0);
	int s = process < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, process, fd, 0);
	struct sockaddr_in6 peer = { 0 };
	socklen_t len = sizeof(peer);
	int type = 0;
	socklen_t type_len = sizeof(type);
	bool tcp = s >= 0 && getsockopt(s, SOL_SOCKET, SO_TYPE, &type, &type_len) == 0 &&
		   type == SOCK_STREAM && getpeername(s, (struct sockaddr *)&peer, &len) == 0 &&
		   (peer.sin6_family == AF_INET || peer.sin6_family == AF_INET6);
	if (tcp) {
		char address[INET6_ADDRSTRLEN] = "";
		const struct sockaddr_in *peer4 = (const struct sockaddr_in *)&peer;
		const void *bytes = peer.sin6_family == AF_INET ? (const void *)&peer4->sin_addr
								: (const void *)&peer.sin6_addr;
		inet_ntop(peer.sin6_family, bytes, address, sizeof(address));
		snprintf(text, size, "tcp:%s:%u", address, ntohs(peer.sin6_port));
	}
	if (s >= 0)
		close(s);
	if (process >= 0)
		close(process);
	return tcp;
}

/* 1: data goes to a regular file or over TCP, 0: elsewhere. */
static inline int look_data(pid_t tid, int fd, struct look *look)
{
	char name[64];
	struct stat st;
	snprintf(name, sizeof(name), "/proc/%d/fd/%d", (int)tid, fd);
	if (stat(name, &st) < 0)
		return 0;
	if (S_ISSOCK(st.st_mode))
		look->net = look_tcp(tid, fd, look->what, sizeof(look->what));
	else
		look_fd(tid, fd, look->what, sizeof(look->what));
	return look->net || S_ISREG(st.st_mode);
}

/* 1: the call changes something, and what is told; 0: it does not. */
static inline int look_at(pid_t tid, uint64_t nr, const uint64_t *args, struct look *look)
{
	memset(look, 0, sizeof(*look));
	const struct call *call = look->call = calls_find(nr);
	if (call == NULL)
		return 0;
	if (call->shape == CALL_DATA)
		return look_data(tid, (int)args[call->dir], look);
	if (call->shape == CALL_HOW) {
		struct open_how how = { 0 };
		struct iovec here = { &how, sizeof(how) };
		struct iovec there = { (void *)(uintptr_t)args[2], sizeof(how) };
		if (process_vm_readv(tid, &here, 1, &there, 1, 0) != (ssize_t)sizeof(how) ||
		    (how.flags & CALLS_OPEN_FLAGS) == 0)
			return 0;
	}
	look_path(tid, args, call->dir, call->path, look->what, LOOK_PATH_MAX);
	/* Opening a device or a pipe creates and truncates nothing. */
	struct stat st;
	if ((call->flags != NO_ARG || call->shape == CALL_HOW) && stat(look->what, &st) == 0 &&
	    !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return 0;
	if (call->path2 != NO_ARG) {
		size_t len = strlen(look->what);
		len += (size_t)snprintf(look->what + len, sizeof(look->what) - len, " -> ");
		look_path(tid, args, call->dir2, call->path2, look->what + len,
			  sizeof(look->what) - len);
	}
	return 1;
}

#endif

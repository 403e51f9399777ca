/*
 * The system calls that killat looks at: those that change a file system, and those
 * that send data. Changes through a shared mapping and io_uring are not seen.
 */
#ifndef KILLAT_CALLS_H
#define KILLAT_CALLS_H

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define CALLS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define CALLS_ARCH AUDIT_ARCH_AARCH64
#else
#error "killat knows x86_64 and aarch64"
#endif

/* Flags that make an open a change; O_TMPFILE without its O_DIRECTORY. */
#define CALLS_OPEN_FLAGS (O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY))

enum call_shape {
	CALL_NAMES, /* by name: dir and path, and for some a second pair */
	CALL_FD,    /* by descriptor, whatever it is */
	CALL_DATA,  /* by descriptor, if that is a regular file or a TCP socket */
	CALL_HOW,   /* openat2: the flags are in memory */
};

#define NO_ARG (-1)

struct call {
	int nr;
	const char *name;
	enum call_shape shape;
	bool grows;      /* may need space on the disk */
	signed char dir; /* argument numbers: directory handle, or the descriptor */
	signed char path;
	signed char dir2, path2;
	signed char flags; /* open's flags: only with CALLS_OPEN_FLAGS is it a change */
};

#define BY_PATH(x, grow, p)                                                                        \
	{                                                                                          \
		SYS_##x, #x, CALL_NAMES, grow, NO_ARG, p, NO_ARG, NO_ARG, NO_ARG                   \
	}
#define BY_AT(x, grow, d)                                                                          \
	{                                                                                          \
		SYS_##x, #x, CALL_NAMES, grow, d, (d) + 1, NO_ARG, NO_ARG, NO_ARG                  \
	}
#define BY_FD(x, grow, d)                                                                          \
	{                                                                                          \
		SYS_##x, #x, CALL_FD, grow, d, NO_ARG, NO_ARG, NO_ARG, NO_ARG                      \
	}
#define DATA_TO(x, d)                                                                              \
	{                                                                                          \
		SYS_##x, #x, CALL_DATA, true, d, NO_ARG, NO_ARG, NO_ARG, NO_ARG                    \
	}

static const struct call calls[] = {
	{ SYS_openat, "openat", CALL_NAMES, true, 0, 1, NO_ARG, NO_ARG, 2 },
	{ SYS_openat2, "openat2", CALL_HOW, true, 0, 1, NO_ARG, NO_ARG, NO_ARG },
	{ SYS_renameat2, "renameat2", CALL_NAMES, true, 0, 1, 2, 3, NO_ARG },
	{ SYS_renameat, "renameat", CALL_NAMES, true, 0, 1, 2, 3, NO_ARG },
	{ SYS_linkat, "linkat", CALL_NAMES, true, 0, 1, 2, 3, NO_ARG },
	DATA_TO(write, 0),
	DATA_TO(writev, 0),
	DATA_TO(pwrite64, 0),
	DATA_TO(pwritev, 0),
	DATA_TO(pwritev2, 0),
	DATA_TO(sendto, 0),
	DATA_TO(sendmsg, 0),
	DATA_TO(sendmmsg, 0),
	DATA_TO(sendfile, 0),
	DATA_TO(splice, 2),
	DATA_TO(copy_file_range, 2),
	BY_AT(unlinkat, false, 0),
	BY_AT(mkdirat, true, 0),
	BY_AT(mknodat, true, 0),
	BY_AT(symlinkat, true, 1),
	BY_AT(fchmodat, false, 0),
	BY_AT(fchownat, false, 0),
	BY_AT(utimensat, false, 0),
	BY_FD(ftruncate, true, 0),
	BY_FD(fallocate, true, 0),
	BY_FD(fchmod, false, 0),
	BY_FD(fchown, false, 0),
	BY_FD(fsync, true, 0),
	BY_FD(fdatasync, true, 0),
	BY_FD(syncfs, true, 0),
	BY_FD(fsetxattr, true, 0),
	BY_FD(fremovexattr, false, 0),
	BY_PATH(truncate, true, 0),
	BY_PATH(setxattr, true, 0),
	BY_PATH(lsetxattr, true, 0),
	BY_PATH(removexattr, false, 0),
	BY_PATH(lremovexattr, false, 0),
#ifdef SYS_open /* the older names, which newer machines lack */
	{ SYS_open, "open", CALL_NAMES, true, NO_ARG, 0, NO_ARG, NO_ARG, 1 },
	{ SYS_rename, "rename", CALL_NAMES, true, NO_ARG, 0, NO_ARG, 1, NO_ARG },
	{ SYS_link, "link", CALL_NAMES, true, NO_ARG, 0, NO_ARG, 1, NO_ARG },
	BY_PATH(creat, true, 0),
	BY_PATH(unlink, false, 0),
	BY_PATH(mkdir, true, 0),
	BY_PATH(rmdir, false, 0),
	BY_PATH(mknod, true, 0),
	BY_PATH(symlink, true, 1),
	BY_PATH(chmod, false, 0),
	BY_PATH(chown, false, 0),
	BY_PATH(lchown, false, 0),
	BY_PATH(utime, false, 0),
	BY_PATH(utimes, false, 0),
	BY_AT(futimesat, false, 0),
#endif
};

#define CALLS_COUNT (sizeof(calls) / sizeof(*calls))

/* At most five instructions a call, and five around them. */
#define CALLS_FILTER_MAX (CALLS_COUNT * 5 + 5)

static inline const struct call *calls_find(uint64_t nr)
{
	for (size_t i = 0; i < CALLS_COUNT; i++) {
		if ((uint64_t)calls[i].nr == nr)
			return &calls[i];
	}
	return NULL;
}

/* A filter that stops for these calls and lets all others run at full speed. */
static inline size_t calls_filter(struct sock_filter *code)
{
	const uint32_t nr_at = offsetof(struct seccomp_data, nr);
	const uint32_t arch_at = offsetof(struct seccomp_data, arch);
	const uint32_t args_at = offsetof(struct seccomp_data, args);
	struct sock_filter *c = code;
	*c++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, arch_at);
	*c++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CALLS_ARCH, 1, 0);
	*c++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	*c++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, nr_at);
	for (size_t i = 0; i < CALLS_COUNT; i++) {
		uint8_t body_len = calls[i].flags == NO_ARG ? 1 : 4;
		*c++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
						    (uint32_t)calls[i].nr, 0, body_len);
		if (calls[i].flags != NO_ARG) {
			uint32_t at = args_at + 8U * (uint32_t)calls[i].flags;
			*c++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at);
			*c++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K,
							    CALLS_OPEN_FLAGS, 1, 0);
			*c++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
		}
		*c++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
	}
	*c++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	return (size_t)(c - code);
}

#endif

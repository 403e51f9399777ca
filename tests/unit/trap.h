/* Something that happens just before a system call of the code under test, so
 * that a race is lost every time and not once in a thousand runs. For a child
 * process: what is trapped stays trapped. */
#pragma once

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

/* In the sixth argument of calls that may pass; none that is trapped has six. */
#define TRAP_PASS 0x7a617030

/* Called before each trapped call with its first two arguments. */
typedef void trap_fn(long first, long second);
static trap_fn *trap_before;

#ifdef __x86_64__
static inline void trap_handle(int signal_number, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
	long ret;

	(void)signal_number;
	trap_before(regs[REG_RDI], regs[REG_RSI]);
	ret = syscall(info->si_syscall, regs[REG_RDI], regs[REG_RSI], regs[REG_RDX], regs[REG_R10],
		      regs[REG_R8], TRAP_PASS);
	regs[REG_RAX] = ret < 0 ? -errno : ret;
}

/* false where this can't be had (under valgrind: NO_TRAPS is set): the test is skipped. */
static inline bool trap_call(long number, trap_fn *before)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[5])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TRAP_PASS, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof filter / sizeof *filter, .filter = filter };
	struct sigaction action = { .sa_sigaction = trap_handle, .sa_flags = SA_SIGINFO };

	trap_before = before;
	return !getenv("NO_TRAPS") && sigaction(SIGSYS, &action, NULL) == 0 &&
	       prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}
#else
static inline bool trap_call(long number, trap_fn *before)
{
	(void)number;
	trap_before = before;
	return false;
}
#endif

#define TRAP_SKIPS 77 /* exit code of a child that can't have it */

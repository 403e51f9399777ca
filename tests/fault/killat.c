/*
 * killat: run a command and count the system calls with which it, its threads and its
 * children change something; kill them all at the N-th, or make that one fail. A sweep
 * over N is the proof that a program may be killed anywhere. README.md has examples.
 *
 * A seccomp filter stops only at these calls, so the rest runs at full speed.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "killat_calls.h"
#include "killat_look.h"

enum mode { MODE_COUNT, MODE_KILL, MODE_FAIL };

static struct killat {
	enum mode mode;
	unsigned long n;
	bool after, from, list;
	int fail_errno;
	const char *only, *path;
	FILE *out;

	pid_t child;
	int status; /* of the child, when it has ended */
	unsigned long count;
	pid_t waiting; /* the thread whose call is let through before the kill */
	bool killed;
	struct {
		pid_t *tids;
		size_t count;
	} live;
} killat;

/* ---- who lives ---- */

static void live_add(pid_t tid)
{
	for (size_t i = 0; i < killat.live.count; i++) {
		if (killat.live.tids[i] == tid)
			return;
	}
	killat.live.tids = realloc(killat.live.tids, (killat.live.count + 1) * sizeof(pid_t));
	if (killat.live.tids == NULL)
		abort();
	killat.live.tids[killat.live.count++] = tid;
}

static void live_remove(pid_t tid)
{
	for (size_t i = 0; i < killat.live.count; i++) {
		if (killat.live.tids[i] == tid) {
			killat.live.tids[i] = killat.live.tids[--killat.live.count];
			return;
		}
	}
}

static void kill_all(void)
{
	killat.killed = true;
	for (size_t i = 0; i < killat.live.count; i++)
		kill(killat.live.tids[i], SIGKILL);
}

/* ---- what is done at a call ---- */

/* Whether a comma-separated list names the call or a class that it is in. */
static bool wanted(const struct look *look)
{
	if (killat.path != NULL && strstr(look->what, killat.path) == NULL)
		return false;
	if (killat.only == NULL)
		return true;
	for (const char *p = killat.only; *p != '\0'; p += strspn(p, ",")) {
		size_t len = strcspn(p, ",");
		char word[32];
		snprintf(word, sizeof(word), "%.*s", (int)len, p);
		if (strcmp(word, look->call->name) == 0 ||
		    (strcmp(word, "net") == 0 && look->net) ||
		    (strcmp(word, "file") == 0 && !look->net) ||
		    (strcmp(word, "grow") == 0 && look->call->grows && !look->net))
			return true;
		p += len;
	}
	return false;
}

/* The call is not made, and its caller sees the error. */
static int fail_call(pid_t tid, int error)
{
#if defined(__x86_64__)
	if (ptrace(PTRACE_POKEUSER, tid, offsetof(struct user_regs_struct, orig_rax), -1L) < 0)
		return -1;
	return (int)ptrace(PTRACE_POKEUSER, tid, offsetof(struct user_regs_struct, rax),
			   -(long)error);
#else
	int nr = -1;
	struct iovec number = { &nr, sizeof(nr) };
	struct user_regs_struct regs;
	struct iovec all = { &regs, sizeof(regs) };
	if (ptrace(PTRACE_SETREGSET, tid, 0x404 /* NT_ARM_SYSTEM_CALL */, &number) < 0 ||
	    ptrace(PTRACE_GETREGSET, tid, 1 /* NT_PRSTATUS */, &all) < 0)
		return -1;
	regs.regs[0] = (unsigned long long)-(long long)error;
	return (int)ptrace(PTRACE_SETREGSET, tid, 1, &all);
#endif
}

static void say(const struct look *look, const char *what)
{
	fprintf(killat.out, "%lu %s%s%s %s\n", killat.count, what, *what != '\0' ? " " : "",
		look->call->name, look->what);
}

/* A thread is about to make a call that the filter named. Returns how it goes on. */
static int at_call(pid_t tid)
{
	struct ptrace_syscall_info info;
	struct look look;
	if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info) <= 0 ||
	    info.op != PTRACE_SYSCALL_INFO_SECCOMP ||
	    look_at(tid, info.seccomp.nr, (const uint64_t *)info.seccomp.args, &look) == 0 ||
	    !wanted(&look))
		return PTRACE_CONT;
	killat.count++;
	bool hit = killat.mode != MODE_COUNT &&
		   (killat.count == killat.n || (killat.from && killat.count > killat.n));
	if (!hit) {
		if (killat.list)
			say(&look, "");
		return PTRACE_CONT;
	}
	if (killat.mode == MODE_FAIL) {
		if (fail_call(tid, killat.fail_errno) < 0 && errno != ESRCH)
			say(&look, "could not be made to fail:");
		else
			say(&look, strerrorname_np(killat.fail_errno));
	} else if (killat.after) {
		say(&look, "killed after");
		killat.waiting = tid;
		return PTRACE_SYSCALL;
	} else {
		say(&look, "killed before");
		kill_all();
	}
	return PTRACE_CONT;
}

/* ---- following threads and children ---- */

static void on_stop(pid_t tid, int status)
{
	int how = tid == killat.waiting ? PTRACE_SYSCALL : PTRACE_CONT;
	int signal = WSTOPSIG(status), event = status >> 16, pass = 0;
	unsigned long born;
	live_add(tid);
	if (killat.killed) {
		kill(tid, SIGKILL);
	} else if (event == PTRACE_EVENT_SECCOMP) {
		how = at_call(tid);
	} else if (event == PTRACE_EVENT_CLONE || event == PTRACE_EVENT_FORK ||
		   event == PTRACE_EVENT_VFORK) {
		if (ptrace(PTRACE_GETEVENTMSG, tid, 0, &born) == 0)
			live_add((pid_t)born);
	} else if (event == PTRACE_EVENT_STOP) {
		if (signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN ||
		    signal == SIGTTOU)
			how = PTRACE_LISTEN;
	} else if (event == 0 && signal == (SIGTRAP | 0x80)) {
		if (tid == killat.waiting)
			kill_all();
	} else if (event == 0) {
		pass = signal;
	}
	/* ESRCH: it was killed in its sleep, and will be reported as dead. */
	if (ptrace((enum __ptrace_request)how, tid, 0, (long)pass) < 0 && errno != ESRCH)
		perror("killat: ptrace");
}

/* Until nobody is left. */
static void follow(void)
{
	for (;;) {
		int status;
		pid_t tid = waitpid(-1, &status, __WALL);
		if (tid < 0 && errno == EINTR)
			continue;
		if (tid < 0)
			return;
		if (WIFSTOPPED(status)) {
			on_stop(tid, status);
			continue;
		}
		live_remove(tid);
		if (tid == killat.child)
			killat.status = status;
		if (tid == killat.waiting && !killat.killed)
			kill_all();
	}
}

/* ---- the program ---- */

static _Noreturn void run_child(char **argv, int go)
{
	struct sock_filter code[CALLS_FILTER_MAX];
	struct sock_fprog program = { .filter = code };
	program.len = (unsigned short)calls_filter(code);
	char byte;
	if (read(go, &byte, 1) != 1)
		_exit(126);
	close(go);
	/* What `count` prints must be alone on stdout. */
	if (killat.mode == MODE_COUNT)
		dup2(STDERR_FILENO, STDOUT_FILENO);
	/* As root the filter can be set without taking set-uid programs their power. */
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 &&
	    (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	     prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)) {
		perror("killat: seccomp");
		_exit(126);
	}
	execvp(argv[0], argv);
	fprintf(stderr, "killat: %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/* 0: it runs and is traced. */
static int start(char **argv)
{
	int go[2];
	if (pipe2(go, O_CLOEXEC) < 0)
		return -1;
	killat.child = fork();
	if (killat.child < 0)
		return -1;
	if (killat.child == 0) {
		close(go[1]);
		run_child(argv, go[0]);
	}
	close(go[0]);
	long options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
		       PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL |
		       PTRACE_O_TRACESYSGOOD;
	if (ptrace(PTRACE_SEIZE, killat.child, 0, options) < 0)
		return -1;
	live_add(killat.child);
	if (write(go[1], "", 1) != 1)
		return -1;
	return close(go[1]);
}

static const char usage[] =
	"usage: killat count [OPTION]… COMMAND…\n"
	"       killat at N [--after] [OPTION]… COMMAND…\n"
	"       killat fail N|--fail-from N --errno NAME [OPTION]… COMMAND…\n"
	"  --only LIST   count only these: names of calls, net, file, grow (needs disk space)\n"
	"  --path TEXT   count only calls on a path (or tcp:address:port) that contains TEXT\n"
	"  --list        print every call that is counted\n"
	"  --output FILE append what killat says to FILE, not to stderr\n";

static const struct option options[] = {
	{ "after", no_argument, NULL, 'a' },        { "list", no_argument, NULL, 'l' },
	{ "only", required_argument, NULL, 'o' },   { "path", required_argument, NULL, 'p' },
	{ "errno", required_argument, NULL, 'e' },  { "fail-from", required_argument, NULL, 'f' },
	{ "output", required_argument, NULL, 'O' }, { NULL, 0, NULL, 0 },
};

static int parse_number(const char *text, unsigned long *value_r)
{
	char *end;
	*value_r = strtoul(text, &end, 10);
	return *text >= '0' && *text <= '9' && *end == '\0' && *value_r > 0 ? 0 : -1;
}

static int parse_errno(const char *name)
{
	for (int i = 1; i < 134; i++) {
		const char *known = strerrorname_np(i);
		if (known != NULL && strcmp(known, name) == 0) {
			killat.fail_errno = i;
			return 0;
		}
	}
	return -1;
}

static int parse_option(int option)
{
	switch (option) {
	case 'a':
		killat.after = true;
		return 0;
	case 'l':
		killat.list = true;
		return 0;
	case 'o':
		killat.only = optarg;
		return 0;
	case 'p':
		killat.path = optarg;
		return 0;
	case 'e':
		return parse_errno(optarg);
	case 'f':
		killat.from = true;
		return parse_number(optarg, &killat.n);
	case 'O':
		killat.out = fopen(optarg, "ae");
		return killat.out != NULL ? 0 : -1;
	default:
		return -1;
	}
}

/* The command in argv, or NULL: bad usage. */
static char **parse(int argc, char **argv)
{
	static const char *const modes[] = { "count", "at", "fail" };
	int mode = 0;
	while (argc > 1 && mode < 3 && strcmp(argv[1], modes[mode]) != 0)
		mode++;
	if (argc < 3 || mode == 3)
		return NULL;
	killat.mode = (enum mode)mode;
	int skip = 1;
	if (mode != MODE_COUNT && parse_number(argv[2], &killat.n) == 0)
		skip = 2;
	argv += skip;
	argc -= skip;
	int option;
	while ((option = getopt_long(argc, argv, "+", options, NULL)) >= 0) {
		if (parse_option(option) < 0)
			return NULL;
	}
	if (optind >= argc || (mode != MODE_COUNT && killat.n == 0) ||
	    (mode == MODE_FAIL) != (killat.fail_errno != 0) || (mode != MODE_FAIL && killat.from) ||
	    (mode != MODE_KILL && killat.after))
		return NULL;
	return argv + optind;
}

int main(int argc, char **argv)
{
	killat.out = stderr;
	char **command = parse(argc, argv);
	if (command == NULL) {
		fputs(usage, stderr);
		return 64;
	}
	setvbuf(killat.out, NULL, _IOLBF, 0);
	if (start(command) < 0) {
		perror("killat");
		if (killat.child > 0)
			kill(killat.child, SIGKILL);
		return 70;
	}
	follow();
	if (killat.mode == MODE_COUNT)
		printf("%lu\n", killat.count);
	else if (killat.count < killat.n)
		fprintf(killat.out, "not reached: %lu calls\n", killat.count);
	if (killat.killed)
		return 137;
	return WIFEXITED(killat.status) ? WEXITSTATUS(killat.status)
					: 128 + WTERMSIG(killat.status);
}

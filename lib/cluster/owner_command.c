/* Owners from a program: users on its stdin, "user<TAB>host" lines on its stdout. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/vec.h"
#include "cluster/lines.h"
#include "cluster/owner_table.h"

#define ARGS_MAX 64
#define REAP_MS 2

struct command {
	char *words; /* what argv points into */
	char *argv[ARGS_MAX + 1];
	atomic_bool has_here; /* it has named this host before */
};

static int command_driver_open(struct owner *owner, const char *text, struct err *err)
{
	struct command *command;
	size_t count = 0;
	char *rest;

	if (text[0] != '/')
		return err_set(err, ERR_CONFIG, "command: expected the absolute path of a program");
	command = xcalloc(1, sizeof *command);
	command->words = rest = xstrdup(text);
	owner->state = command;
	for (char *word; (word = strsep(&rest, " \t")) != NULL;) {
		if (*word != '\0' && count < ARGS_MAX)
			command->argv[count++] = word;
	}
	return 0;
}

static void command_driver_close(struct owner *owner)
{
	struct command *command = owner->state;

	free(command->words);
	free(command);
}

/* A file, so that a program that reads late, or not at all, holds up nobody. */
static int users_file(struct owner_answer *const *answers, size_t count, struct err *err)
{
	autofd int fd = memfd_create("users", MFD_CLOEXEC);
	autobuf struct buf text = { 0 };

	if (fd < 0)
		return err_sys(err, errno, "memfd_create");
	for (size_t i = 0; i < count; i++)
		buf_printf(&text, "%s\n", answers[i]->user);
	for (size_t at = 0; at < text.len;) {
		ssize_t n = write(fd, text.data + at, text.len - at);

		if (n < 0 && errno != EINTR)
			return err_sys(err, errno, "write the users");
		at += n > 0 ? (size_t)n : 0;
	}
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(err, errno, "lseek");
	return steal_fd(&fd);
}

/* In a process group of its own, with no signal blocked or ignored. */
static int spawn(char *const *argv, int in, int out, pid_t *pid_r)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int ret;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
						POSIX_SPAWN_SETSIGDEF);
	ret = posix_spawn(pid_r, argv[0], &actions, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return ret;
}

static int start(char *const *argv, struct owner_answer *const *answers, size_t count, pid_t *pid_r,
		 struct err *err)
{
	autofd int in = users_file(answers, count, err);
	int pipe_fds[2], ret;

	if (in < 0)
		return -1;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return err_sys(err, errno, "make a pipe");
	ret = spawn(argv, in, pipe_fds[1], pid_r);
	close(pipe_fds[1]);
	if (ret == 0)
		return pipe_fds[0];
	close(pipe_fds[0]);
	return err_sys(err, ret, "run it");
}

static int read_answers(struct owner_table *table, struct lines *lines, struct err *err)
{
	const char *line;
	int ret;

	while ((ret = lines_next(lines, &line, err)) > 0) {
		if (owner_table_take(table, line, err) < 0)
			return -1;
	}
	return ret;
}

/* Until it has ended, or the time is over. */
static int reap(pid_t pid, int64_t deadline_ms, int *status_r, struct err *err)
{
	for (;;) {
		pid_t ret = waitpid(pid, status_r, WNOHANG);

		if (ret == pid)
			return 0;
		if (ret < 0 && errno != EINTR)
			return err_sys(err, errno, "wait for it");
		if (clock_mono_ms() >= deadline_ms)
			return err_set(err, ERR_UNAVAILABLE, "it does not end in time");
		clock_sleep_ms(REAP_MS);
	}
}

static void kill_group(pid_t pid)
{
	int status;

	kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
}

static int check_exit(int status, struct err *err)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status))
		err_set(err, ERR_UNAVAILABLE, "it exited with %d", WEXITSTATUS(status));
	else
		err_set(err, ERR_UNAVAILABLE, "signal %d ended it", WTERMSIG(status));
	return err_again(err);
}

static int run(struct owner *owner, struct owner_table *table, struct owner_answer *const *answers,
	       size_t count, struct err *err)
{
	struct command *command = owner->state;
	int64_t deadline_ms = clock_mono_ms() + owner->settings->director_timeout_ms;
	pid_t pid = 0;
	autofd int out = start(command->argv, answers, count, &pid, err);
	struct lines lines = { .fd = out, .deadline_ms = deadline_ms };
	int status = 0;

	if (out < 0)
		return -1;
	if (read_answers(table, &lines, err) < 0 || reap(pid, deadline_ms, &status, err) < 0) {
		kill_group(pid);
		return -1;
	}
	return check_exit(status, err);
}

static int command_driver_lookup(struct owner *owner, struct owner_answer *const *answers,
				 size_t count, struct err *err)
{
	struct command *command = owner->state;
	autotable struct owner_table table;

	owner_table_init(&table, &owner->here, answers, count);
	if (run(owner, &table, answers, count, err) < 0)
		return err_prefix(err, "the program %s", command->argv[0]);
	if (table.has_here)
		atomic_store(&command->has_here, true);
	if (atomic_load(&command->has_here))
		return 0;
	err_set(err, ERR_CONFIG,
		"the program %s has named no host %s so far, which is backend_host",
		command->argv[0], owner->here.text);
	return err_hint(err, "let it print a line <TAB>HOST for each host, so that a typo in "
			     "backend_host does not make all users somebody else's");
}

const struct owner_driver owner_command_driver = {
	.scheme = "command:",
	.batch_max = SIZE_MAX,
	.open = command_driver_open,
	.close = command_driver_close,
	.lookup = command_driver_lookup,
};

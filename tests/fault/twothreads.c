/*
 * What killat is tested with: two threads that each replace files in a folder by
 * temporary + rename, so that every file in sight is whole at any moment.
 *
 *     twothreads FOLDER FILES
 *
 * makes 4 calls a file that change something: open, write, fsync, rename. A file
 * that could not be written is reported, its temporary stays, exit status 74.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct job {
	const char *folder;
	int first, files, failed;
};

static int replace(const char *folder, int number)
{
	char temporary[4096], name[4096], text[16];
	snprintf(temporary, sizeof(temporary), "%s/tmp.%d", folder, number);
	snprintf(name, sizeof(name), "%s/file.%d", folder, number);
	int len = snprintf(text, sizeof(text), "whole %d\n", number);
	int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0)
		return -1;
	int result = write(fd, text, (size_t)len) == len ? fsync(fd) : -1;
	if (close(fd) < 0)
		result = -1;
	return result == 0 ? rename(temporary, name) : -1;
}

static void *work(void *ptr)
{
	struct job *job = ptr;
	for (int i = 0; i < job->files; i++) {
		if (replace(job->folder, job->first + i) == 0)
			continue;
		fprintf(stderr, "twothreads: file %d: %s\n", job->first + i, strerror(errno));
		job->failed++;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	if (argc != 3 || atoi(argv[2]) <= 0) {
		fputs("usage: twothreads FOLDER FILES\n", stderr);
		return 64;
	}
	int half = atoi(argv[2]) / 2;
	struct job jobs[2] = { { argv[1], 0, half, 0 },
			       { argv[1], half, atoi(argv[2]) - half, 0 } };
	pthread_t thread;
	if (pthread_create(&thread, NULL, work, &jobs[0]) != 0)
		return 71;
	work(&jobs[1]);
	pthread_join(thread, NULL);
	return jobs[0].failed + jobs[1].failed > 0 ? 74 : 0;
}

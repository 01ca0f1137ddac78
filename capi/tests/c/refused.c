/* A program without entropy: refused WHAT [FILE]
 *
 * WHAT is the name of a generator, which the program calls, or:
 *
 * clear     calls uuid_clear, and FILE has replaced the standard error
 * file      calls uuid_generate, and FILE has replaced the standard error
 * again     the same with a new file of the name FILE
 * pipe      the same with a pipe; prints what was written to it
 * message   calls uuid_generate, and prints what the library left for debuggers
 * threads   calls uuid_generate in two threads at once
 * vfork     calls uuid_generate in a child of vfork(2)
 * prepared  calls uuid_generate after fork_safe_uuid_prepare, which must succeed
 * write     writes a line to the standard error, and calls nothing
 */
#define _GNU_SOURCE
#include "dark.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uuid/uuid.h>

static pthread_barrier_t both;
static int output;

static void call(const char *name)
{
	void (*generate)(uuid_t) = (void (*)(uuid_t))dlsym(RTLD_DEFAULT, name);
	uuid_t id;

	generate(id);
}

static void *call_with_another(void *unused)
{
	pthread_barrier_wait(&both);
	call("uuid_generate");
	return unused;
}

static void print_message(int unused)
{
	const char *text = dlsym(RTLD_DEFAULT, "fork_safe_uuid_abort_message");

	(void)unused;
	if (write(1, text, strlen(text)) < 0)
		_exit(2);
}

static void look_at_pipe(int unused)
{
	char text[512];
	ssize_t length = read(output, text, sizeof text);

	(void)unused;
	if (write(1, length < 0 ? "nothing\n" : text, length < 0 ? 8 : length) < 0)
		_exit(2);
}

static int open_at_2(const char *path)
{
	close(2);
	return open(path, O_RDWR | O_CREAT, 0600) != 2;
}

int main(int argc, char **argv)
{
	struct rlimit none = {0, 0};
	const char *what = argv[1];
	int ends[2], status = 0;
	struct stat before, after;
	pthread_t thread;
	pid_t child;

	if (argc < 2 || setrlimit(RLIMIT_CORE, &none))
		return 2;
	if (!strcmp(what, "write"))
		return write(2, "a line\n", 7) != 7;
	if (!strcmp(what, "prepared")) {
		int (*prepare)(char *, size_t) = (int (*)(char *, size_t))dlsym(RTLD_DEFAULT, "fork_safe_uuid_prepare");

		if (prepare(NULL, 0) || enter_the_dark())
			return 2;
		for (int i = 0; i < 10000; i++)
			call("uuid_generate");
		return 0;
	}
	if (!strcmp(what, "file") || !strcmp(what, "clear"))
		status = open_at_2(argv[2]);
	if (!strcmp(what, "again")) {
		status = fstat(2, &before) || unlink(argv[2]) || open_at_2(argv[2]) || fstat(2, &after);
		puts(before.st_ino == after.st_ino ? "the same inode" : "another inode");
		fflush(stdout);
	}
	if (!strcmp(what, "pipe")) {
		status = pipe2(ends, O_NONBLOCK) || dup2(ends[1], 2) != 2;
		output = ends[0];
		signal(SIGABRT, look_at_pipe);
	}
	if (!strcmp(what, "message"))
		signal(SIGABRT, print_message);
	if (!strcmp(what, "threads"))
		status = pthread_barrier_init(&both, NULL, 2) || pthread_create(&thread, NULL, call_with_another, NULL);
	if (status || enter_the_dark())
		return 2;

	if (!strcmp(what, "threads"))
		call_with_another(NULL);
	if (!strcmp(what, "vfork")) {
		child = vfork();
		if (child == 0) {
			call("uuid_generate");
			_exit(2);
		}
		if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
			return 2;
		puts("the parent continues");
		return 0;
	}
	if (!strcmp(what, "clear"))
		call("uuid_clear");
	call(strncmp(what, "uuid_", 5) ? "uuid_generate" : what);
	return 0;
}

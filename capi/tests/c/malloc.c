/* Asks for a UUID without entropy, in a place where malloc(3) must not be called:
 * malloc handler|copy uuid|allocate
 *
 * handler: in a signal handler that interrupts malloc(3).
 * copy: in a copy of this process, made by clone(2) while a thread is in malloc(3).
 * allocate: the control, which allocates memory there.
 *
 * SIGABRT ends the program, or the program hangs.
 */
#include "dark.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uuid/uuid.h>

static pthread_mutex_t heap = PTHREAD_MUTEX_INITIALIZER;
static volatile int interrupt, hold, held;
static const char *what;

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

/* The heap gets a single lock, like that of musl. */
static void enter(void)
{
	pthread_mutex_lock(&heap);
	if (interrupt) {
		interrupt = 0;
		raise(SIGUSR1);
	}
	while (hold) {
		held = 1;
		usleep(1000);
	}
}

#define WITH(call) { void *result; enter(); result = call; pthread_mutex_unlock(&heap); return result; }
void *malloc(size_t n) WITH(__libc_malloc(n))
void *calloc(size_t m, size_t n) WITH(__libc_calloc(m, n))
void *realloc(void *p, size_t n) WITH(__libc_realloc(p, n))
void *memalign(size_t a, size_t n) WITH(__libc_memalign(a, n))
void *aligned_alloc(size_t a, size_t n) WITH(__libc_memalign(a, n))
int posix_memalign(void **p, size_t a, size_t n) { return !(*p = memalign(a, n)); }
void free(void *p) { enter(); __libc_free(p); pthread_mutex_unlock(&heap); }

/* By a pointer, as the compiler would remove a plain call of malloc. */
static void allocate(void)
{
	static void *(*volatile function)(size_t) = malloc;

	free(function(100));
}

static void call(int unused)
{
	uuid_t id;

	(void)unused;
	if (!strcmp(what, "allocate"))
		allocate();
	uuid_generate_time_safe(id);
}

static void *stay_in_malloc(void *unused)
{
	hold = 1;
	allocate();
	return unused;
}

int main(int argc, char **argv)
{
	struct rlimit none = {0, 0};
	pthread_t thread;
	int status;
	pid_t child;

	if (argc != 3 || setrlimit(RLIMIT_CORE, &none))
		return 2;
	what = argv[2];
	if (!strcmp(argv[1], "handler")) {
		signal(SIGUSR1, call);
		if (enter_the_dark())
			return 2;
		interrupt = 1;
		allocate();
		return 0;
	}
	if (pthread_create(&thread, NULL, stay_in_malloc, NULL))
		return 2;
	while (!held)
		usleep(1000);
	if (enter_the_dark())
		return 2;
	child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (child == 0) {
		call(0);
		_exit(0);
	}
	if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status))
		_exit(2);
	signal(WTERMSIG(status), SIG_DFL);
	kill(getpid(), WTERMSIG(status));
	_exit(2);
}

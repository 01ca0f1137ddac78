/* Loads a libuuid after the start, as plugins do: late LIBRARY unload|allocate
 *
 * unload: unloads the library before the thread ends that made a UUID with it.
 * allocate: counts the allocations of the C library during a thread's first UUID.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *library;
static void (*generate)(unsigned char *);
static __thread int counting, count;

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_memalign(size_t, size_t);
void *malloc(size_t n) { count += counting; return __libc_malloc(n); }
void *calloc(size_t m, size_t n) { count += counting; return __libc_calloc(m, n); }
void *memalign(size_t a, size_t n) { count += counting; return __libc_memalign(a, n); }
void *aligned_alloc(size_t a, size_t n) { return memalign(a, n); }

static void *first(void *unused)
{
	unsigned char id[16];

	(void)unused;
	counting = 1;
	generate(id);
	counting = 0;
	return NULL;
}

static void *count_first(void *result)
{
	first(NULL);
	*(int *)result = count;
	return NULL;
}

static void *first_then_unload(void *unused)
{
	first(unused);
	dlclose(library);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	int new = -1;

	if (argc != 3 || !(library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL))) {
		fprintf(stderr, "%s\n", dlerror());
		return 2;
	}
	generate = (void (*)(unsigned char *))dlsym(library, "uuid_generate_random");
	if (!strcmp(argv[2], "unload"))
		return pthread_create(&thread, NULL, first_then_unload, NULL) || pthread_join(thread, NULL);
	first(NULL);
	if (pthread_create(&thread, NULL, count_first, &new) || pthread_join(thread, NULL))
		return 2;
	printf("%d in an old thread, %d in a new one\n", count, new);
	return 0;
}

/* A host that loads a libuuid with dlopen(3): host LIBRARY [OTHER...]
 *
 * It starts a thread, loads the other libraries until one of them is refused,
 * and then loads LIBRARY. Three threads make a UUID each: the one that was started
 * before, the main thread, and a new one.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>

static void (*generate)(unsigned char *);
static sem_t loaded;

static void *late(void *id)
{
	sem_wait(&loaded);
	generate(id);
	return NULL;
}

int main(int argc, char **argv)
{
	static unsigned char ids[3][16];
	pthread_t old, new;
	void *library;

	sem_init(&loaded, 0, 0);
	if (argc < 2 || pthread_create(&old, NULL, late, ids[0]))
		return 2;
	for (int other = 2; other < argc; other++)
		if (!dlopen(argv[other], RTLD_NOW)) {
			printf("%d of %d others\n", other - 2, argc - 2);
			break;
		}
	if (!(library = dlopen(argv[1], RTLD_NOW))) {
		printf("%s\n", dlerror());
		return 1;
	}
	generate = (void (*)(unsigned char *))dlsym(library, "uuid_generate_random");
	generate(ids[1]);
	sem_post(&loaded);
	sem_post(&loaded);
	if (pthread_join(old, NULL) || pthread_create(&new, NULL, late, ids[2]) || pthread_join(new, NULL))
		return 2;
	for (int i = 0; i < 3; i++)
		if (ids[i][6] >> 4 != 4 || !memcmp(ids[i], ids[(i + 1) % 3], 16))
			return 3;
	printf("three UUIDs\n");
	return 0;
}

#define FORK_SAFE_UUID_WEAK
#include <signal.h>
#include <stdio.h>
#include <uuid/fork_safe_uuid.h>
#include <uuid/uuid.h>

/* Prints a UUID of version 1. Those of one process end with the same node. */
static void print(void)
{
	char text[UUID_STR_LEN];
	uuid_t id;

	uuid_generate_time(id);
	uuid_unparse(id, text);
	puts(text);
}

/* Handles the signal that tells the program that its machine was restored. */
static void restored(int signal)
{
	(void)signal;
	if (fork_safe_uuid_reseed)
		fork_safe_uuid_reseed();
}

int main(void)
{
	char text[512];

	signal(SIGUSR1, restored);

	/* In a worker, after the last fork and before its sandbox. */
	if (!fork_safe_uuid_prepare)
		fputs("the system's libuuid\n", stderr);
	else if (fork_safe_uuid_prepare(text, sizeof text) == -1)
		return fprintf(stderr, "no UUIDs: %s\n", text), 1;
	else
		fprintf(stderr, "UUIDs by %s\n", text);

	print();
	raise(SIGUSR1);
	print();

	if (fork_safe_uuid_status) {
		fork_safe_uuid_status(text, sizeof text);
		fprintf(stderr, "now by %s\n", text);
	}
	return 0;
}

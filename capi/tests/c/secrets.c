/* Searches the stack on which a UUID was made for copies of the UUID.
 *
 * Prints the names of the functions that leave a copy; "plant" leaves one on purpose.
 * With the argument "stateless", madvise(2) is refused, so no memory is wiped at fork.
 *
 * Link it with -z now. The lazy binder saves all vector registers to the stack of the first call
 * of each function, and those of this program can still contain the UUID that was searched last.
 */
#include "dark.h"
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>
#include <uuid/uuid.h>

static unsigned char stack[64 << 10];
static ucontext_t here, there;
static uuid_t id;
static char text[UUID_STR_LEN];
static void (*volatile generate)(uuid_t);

static void make(void) { generate(id); }
static void make_several(void) { for (int i = 0; i < 300; i++) generate(id); }
static void parse(void) { uuid_parse(text, id); }
static void unparse(void) { uuid_unparse(id, text); }
static void compare(void) { uuid_compare(id, id); }

/* Writes a copy below everything that this call has on the stack. */
static void plant(void)
{
	volatile unsigned char *below = (unsigned char *)__builtin_frame_address(0) - 4096;

	for (int i = 0; i < 16; i++)
		below[i] = id[i];
}

/* Returns whether eight successive bytes of the value are on the stack after the call. */
static int leaves(void (*call)(void), const void *value, size_t length)
{
	size_t at = 0;

	memset(stack, 0, sizeof stack);
	getcontext(&there);
	there.uc_stack.ss_sp = stack;
	there.uc_stack.ss_size = sizeof stack;
	there.uc_link = &here;
	makecontext(&there, call, 0);
	swapcontext(&here, &there);
	/* Below its deepest byte the stack is zero, and eight bytes of the value are not. */
	while (at < sizeof stack - 8 && !stack[at + 7])
		at++;
	for (; at + 8 <= sizeof stack; at++)
		for (size_t from = 0; from + 8 <= length; from++)
			if (!memcmp(stack + at, (const char *)value + from, 8))
				return 1;
	return 0;
}

int main(int argc, char **argv)
{
	static const struct { const char *name; void (*generate)(uuid_t); } generators[] = {
		{"uuid_generate", uuid_generate},
		{"uuid_generate_random", uuid_generate_random},
#ifdef UUID_TYPE_DCE_TIME_V7
		{"uuid_generate_time_v7", uuid_generate_time_v7},
#endif
	};
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		REFUSE(__NR_madvise),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	if (argc == 2 && !strcmp(argv[1], "stateless") && confine(filter, sizeof filter / sizeof *filter))
		return 2;
	for (size_t i = 0; i < sizeof generators / sizeof *generators; i++) {
		int found = 0;

		/* The first half of version 7 is the time. */
		const unsigned char *secret = strstr(generators[i].name, "v7") ? id + 8 : id;
		size_t length = id + 16 - secret;

		generate = generators[i].generate;
		/* These calls make the first UUID, take ready ones, and refill the pool. */
		for (int times = 0; times < 600; times++)
			found |= leaves(make, secret, length);
		for (int times = 0; times < 10; times++)
			found |= leaves(make_several, secret, length);
		if (found)
			puts(generators[i].name);
	}
	if (leaves(unparse, id, 16) || leaves(unparse, text, 36))
		puts("uuid_unparse");
	if (leaves(parse, id, 16) || leaves(parse, text, 36))
		puts("uuid_parse");
	if (leaves(compare, id, 16))
		puts("uuid_compare");
	if (leaves(plant, id, 16))
		puts("plant");
	return 0;
}

/* A daemon like that of 2014: daemon ledger FILE | daemon socket | daemon dark FILE
 *
 * It makes a UUID, goes to the background and closes all descriptors. It then opens a
 * ledger or a socket, which gets a number that was closed, makes UUIDs of each kind,
 * and prints what happened to its descriptor. With "dark", the ledger is descriptor 2,
 * and there is no entropy.
 */
#include "dark.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uuid/uuid.h>

static void make_some(void)
{
	uuid_t id;

	uuid_generate(id);
	uuid_generate_random(id);
	uuid_generate_time(id);
	uuid_generate_time_safe(id);
}

static const char entry[] = "2014-01-30 a ledger, of which no byte may change\n";

/* Returns 0 after printing "unchanged", or the content of the changed ledger. */
static int keep_ledger(const char *path)
{
	char now[256] = "";
	int ledger = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	if (write(ledger, entry, sizeof entry - 1) < 0)
		return 2;
	make_some();
	if (pread(ledger, now, sizeof now - 1, 0) < 0)
		return 2;
	printf("%s", strcmp(now, entry) ? now : "unchanged\n");
	return 0;
}

/* The same for a ledger at descriptor 2 of a child that must end without entropy. */
static int keep_ledger_in_the_dark(const char *path)
{
	char now[1024] = "";
	int status, ledger = -1;
	pid_t child = fork();

	if (child == 0) {
		for (int fd = 0; fd < 3; fd++)
			close(fd);
		while (ledger < 2)
			ledger = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
		if (write(ledger, entry, sizeof entry - 1) < 0 || enter_the_dark())
			_exit(2);
		make_some();
		_exit(0);
	}
	if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
		return 2;
	ledger = open(path, O_RDONLY);
	if (read(ledger, now, sizeof now - 1) < 0)
		return 2;
	printf("%s", strcmp(now, entry) ? now : "unchanged\n");
	return 0;
}

/* The same for a socket with a message in it, whose other end must receive nothing. */
static int keep_socket(void)
{
	char now[256] = "";
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) || send(ends[1], "beat", 4, 0) < 0)
		return 2;
	make_some();
	if (recv(ends[0], now, sizeof now - 1, MSG_DONTWAIT) != 4 || strcmp(now, "beat"))
		printf("taken\n");
	else if (recv(ends[1], now, sizeof now - 1, MSG_DONTWAIT) >= 0)
		printf("written to\n");
	else
		printf("unchanged\n");
	return 0;
}

int main(int argc, char **argv)
{
	int status;
	pid_t child;

	make_some();
	child = fork();
	if (child == 0) {
		/* The standard descriptors stay open for the report. */
		for (int fd = 3; fd < 1024; fd++)
			close(fd);
		if (!strcmp(argv[1], "dark"))
			status = keep_ledger_in_the_dark(argv[2]);
		else
			status = argc == 3 ? keep_ledger(argv[2]) : keep_socket();
		fflush(stdout);
		_exit(status);
	}
	return waitpid(child, &status, 0) == child && status == 0 ? 0 : 2;
}

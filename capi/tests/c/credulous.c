/* Takes from statx(2) what tells one file from another: to be preloaded. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/stat.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>

long syscall(long number, ...)
{
	static long (*next)(long, ...);
	long argument[6], result;
	va_list list;
	int i;

	va_start(list, number);
	for (i = 0; i < 6; i++)
		argument[i] = va_arg(list, long);
	va_end(list);
	if (!next)
		next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	result = next(number, argument[0], argument[1], argument[2], argument[3], argument[4], argument[5]);
	if (number == __NR_statx && argument[0] == 2 && result == 0) {
		struct statx *found = (struct statx *)argument[4];

		found->stx_mode = found->stx_ino = found->stx_dev_major = found->stx_dev_minor = 0;
		memset(&found->stx_btime, 0, sizeof found->stx_btime);
	}
	return result;
}

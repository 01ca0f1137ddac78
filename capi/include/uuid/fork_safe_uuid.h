/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * What fork-safe-uuid's libuuid has beside libuuid's interface. These functions
 * act on the library that they are part of: not on a copy of fork-safe-uuid in
 * a program or a plugin that is written in Rust.
 *
 * A program that also runs with the system's libuuid defines
 * FORK_SAFE_UUID_WEAK before it includes this header, is linked with the
 * system's, and tests each function before it calls it:
 *
 *     if (fork_safe_uuid_reseed) fork_safe_uuid_reseed();
 *
 * A program that is linked with this library needs it to start. Compiled by
 * Clang, the program must be position-independent, or finds no function.
 */
#ifndef FORK_SAFE_UUID_EXTRA_H
#define FORK_SAFE_UUID_EXTRA_H

#include <stddef.h>

#ifndef FORK_SAFE_UUID_WEAK
#define FORK_SAFE_UUID_EXTERN extern
#else
#define FORK_SAFE_UUID_EXTERN extern __attribute__((weak))
/* The loader fills in the address, not the linker, which would write 0. */
#if defined(__GNUC__) && !defined(__clang__)
#undef FORK_SAFE_UUID_EXTERN
#define FORK_SAFE_UUID_EXTERN extern __attribute__((weak, noplt))
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Acquires everything that a sandbox might refuse later. Call it before
 * chroot(2), a seccomp filter or a drop of privileges, in each process that
 * does so, after its last fork.
 *
 *  0  the process can make UUIDs, also if the sandbox refuses getrandom(2);
 *     text is the status
 *  1  it can, but only by getrandom(2): the sandbox must allow that; text says
 *     why the device is not to be had
 * -1  there is no entropy, and text says why
 *
 * At most size bytes are written to text, a zero byte among them. text may be
 * NULL if size is 0. errno stays as it is.
 */
FORK_SAFE_UUID_EXTERN int fork_safe_uuid_prepare(char *text, size_t size);

/* Discards all that this process has ready, in all threads, and its node and
 * clock sequence. Call it in a virtual machine that was started from a snapshot
 * and in a process that was restored. It may be called anywhere, also in a
 * signal handler.
 */
FORK_SAFE_UUID_EXTERN void fork_safe_uuid_reseed(void);

/* Writes one line for a log: what serves the calling thread's UUIDs. Returns its
 * length; what has no room is left out, as snprintf(3) does it. errno stays as
 * it is.
 */
FORK_SAFE_UUID_EXTERN size_t fork_safe_uuid_status(char *text, size_t size);

#ifdef __cplusplus
}
#endif

#endif

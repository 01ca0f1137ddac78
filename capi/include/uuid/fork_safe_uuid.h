/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Functions of fork-safe-uuid's libuuid that the system's libuuid does not have.
 * They act on the library that they are part of, and not on a copy of
 * fork-safe-uuid in a program or plugin written in Rust.
 *
 * A program that also runs with the system's libuuid defines
 * FORK_SAFE_UUID_WEAK before it includes this header, is linked with the
 * system's libuuid, and tests each function before it calls it:
 *
 *     if (fork_safe_uuid_reseed) fork_safe_uuid_reseed();
 *
 * If Clang compiles it, such a program must be position-independent, or it
 * finds no function. A program that is linked with this library does not start
 * without it.
 */
#ifndef FORK_SAFE_UUID_EXTRA_H
#define FORK_SAFE_UUID_EXTRA_H

#include <stddef.h>

#ifndef FORK_SAFE_UUID_WEAK
#define FORK_SAFE_UUID_EXTERN extern
#else
#define FORK_SAFE_UUID_EXTERN extern __attribute__((weak))
/* Makes the loader fill in the address. The linker would write 0. */
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
 * does so, after its last fork. It returns:
 *
 *  0  if the process can make UUIDs, even if the sandbox refuses getrandom(2);
 *     text is the status
 *  1  if it can make UUIDs only while the sandbox allows getrandom(2); text
 *     says why the device could not be opened
 * -1  if there is no entropy; text says why
 *
 * At most size bytes are written to text, including a final zero byte. text may
 * be NULL if size is 0. errno does not change.
 */
FORK_SAFE_UUID_EXTERN int fork_safe_uuid_prepare(char *text, size_t size);

/* Discards the UUIDs that this process has ready in all threads, and its node
 * and clock sequence. Call it in a virtual machine that was started from a
 * snapshot and in a process that was restored. It may be called anywhere, also
 * in a signal handler.
 */
FORK_SAFE_UUID_EXTERN void fork_safe_uuid_reseed(void);

/* Writes a line for a log, which says which entropy source is in use. If text has
 * no room for the whole line, the line is truncated. Returns the length of the
 * whole line, as snprintf(3) does. errno does not change.
 */
FORK_SAFE_UUID_EXTERN size_t fork_safe_uuid_status(char *text, size_t size);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * libuuid's interface, implemented by fork-safe-uuid. Every function may be
 * called in a forked child, a thread and a signal handler. There is one limit: in
 * a program that loads the library with dlopen(3), the first call in each thread
 * may allocate memory. It must not be made by a signal handler that has
 * interrupted malloc(3).
 *
 * Without entropy the generators end the process with SIGABRT. The reason is in
 * fork_safe_uuid_abort_message. It is also written to standard error if that is
 * still the same file as when the library was loaded.
 */
#ifndef FORK_SAFE_UUID_H
#define FORK_SAFE_UUID_H
/* Keeps the system's header of the same name from being included as well. */
#define _UL_LIBUUID_UUID_H

#include <stddef.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef unsigned char uuid_t[16];

/* The size of a UUID as text, with its final zero byte. */
#define UUID_STR_LEN 37

/* Generate UUIDs. Versions 1 and 6 have a random node, never a MAC address. */
extern void uuid_generate(uuid_t out);         /* version 4 */
extern void uuid_generate_random(uuid_t out);  /* version 4 */
extern void uuid_generate_time(uuid_t out);    /* version 1 */
extern int uuid_generate_time_safe(uuid_t out); /* version 1; returns 0 */
extern void uuid_generate_time_v6(uuid_t out); /* version 6 */
extern void uuid_generate_time_v7(uuid_t out); /* version 7 */

/* Write the UUID of a name of len bytes in the namespace ns: versions 3 and 5. */
extern void uuid_generate_md5(uuid_t out, const uuid_t ns, const char *name, size_t len);
extern void uuid_generate_sha1(uuid_t out, const uuid_t ns, const char *name, size_t len);

/* Returns the namespace "dns", "url", "oid", "x500" or "x.500", or NULL for others. */
extern const uuid_t *uuid_get_template(const char *alias);

/* Parse 36 characters. Return 0, or -1 without a change of uu if they are no UUID. */
extern int uuid_parse(const char *in, uuid_t uu);
extern int uuid_parse_range(const char *in_start, const char *in_end, uuid_t uu);

/* Write a UUID as text of UUID_STR_LEN bytes; uuid_unparse writes lower case. */
extern void uuid_unparse(const uuid_t uu, char *out);
extern void uuid_unparse_lower(const uuid_t uu, char *out);
extern void uuid_unparse_upper(const uuid_t uu, char *out);

extern void uuid_clear(uuid_t uu);
extern void uuid_copy(uuid_t dst, const uuid_t src);
extern int uuid_compare(const uuid_t uu1, const uuid_t uu2);
extern int uuid_is_null(const uuid_t uu);

/* Return the time in a UUID of version 1, 6 or 7, or -1 for others. ret_tv may be
 * NULL. uuid_time64 exists if time_t has 64 bits.
 */
#if defined(__USE_TIME_BITS64) && defined(__GLIBC__)
#define uuid_time uuid_time64
#elif !defined(__GLIBC__) || defined(__LP64__) || (defined(__TIMESIZE) && __TIMESIZE == 64)
extern time_t uuid_time64(const uuid_t uu, struct timeval *ret_tv);
#endif
extern time_t uuid_time(const uuid_t uu, struct timeval *ret_tv);

extern int uuid_type(const uuid_t uu);
#define UUID_TYPE_DCE_NIL 0
#define UUID_TYPE_DCE_TIME 1
#define UUID_TYPE_DCE_SECURITY 2
#define UUID_TYPE_DCE_MD5 3
#define UUID_TYPE_DCE_RANDOM 4
#define UUID_TYPE_DCE_SHA1 5
#define UUID_TYPE_DCE_TIME_V6 6
#define UUID_TYPE_DCE_TIME_V7 7
#define UUID_TYPE_DCE_VENDOR 8
#define UUID_TYPE_SHIFT 4
#define UUID_TYPE_MASK 0xf

extern int uuid_variant(const uuid_t uu);
#define UUID_VARIANT_NCS 0
#define UUID_VARIANT_DCE 1
#define UUID_VARIANT_MICROSOFT 2
#define UUID_VARIANT_OTHER 3
#define UUID_VARIANT_SHIFT 5
#define UUID_VARIANT_MASK 0x7

#ifdef __GNUC__
#define UUID_DEFINE_UNUSED __attribute__((unused))
#else
#define UUID_DEFINE_UNUSED
#endif
/* Defines a constant of 16 bytes. */
#define UUID_DEFINE(name, u0, u1, u2, u3, u4, u5, u6, u7, u8, u9, u10, u11, u12, u13, u14, u15) \
	static const uuid_t name UUID_DEFINE_UNUSED = \
		{u0, u1, u2, u3, u4, u5, u6, u7, u8, u9, u10, u11, u12, u13, u14, u15}

#ifdef __cplusplus
}
#endif

#endif

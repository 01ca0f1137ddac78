/* Assigns each function to a pointer of the type that util-linux gives it, and calls it. */
#include <stdio.h>
#include <string.h>
#include <uuid/uuid.h>

UUID_DEFINE(dns, 0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8);

int main(void)
{
	void (*generators[])(uuid_t) = {
		uuid_clear, uuid_generate, uuid_generate_random, uuid_generate_time,
#ifdef UUID_TYPE_DCE_TIME_V7
		uuid_generate_time_v6, uuid_generate_time_v7,
#endif
	};
	void (*named[])(uuid_t, const uuid_t, const char *, size_t) = {uuid_generate_md5, uuid_generate_sha1};
	void (*unparse[])(const uuid_t, char *) = {uuid_unparse, uuid_unparse_lower, uuid_unparse_upper};
	int (*ask[])(const uuid_t) = {uuid_is_null, uuid_type, uuid_variant};
	int (*compare)(const uuid_t, const uuid_t) = uuid_compare;
	void (*copy)(uuid_t, const uuid_t) = uuid_copy;
	int (*safe)(uuid_t) = uuid_generate_time_safe;
	int (*parse)(const char *, uuid_t) = uuid_parse;
	int (*parse_range)(const char *, const char *, uuid_t) = uuid_parse_range;
	time_t (*at)(const uuid_t, struct timeval *) = uuid_time;
	const uuid_t *(*template)(const char *) = uuid_get_template;
	char text[UUID_STR_LEN], again[UUID_STR_LEN];
	struct timeval then;
	uuid_t id, other;
	unsigned i;

	for (i = 0; i < sizeof generators / sizeof *generators; i++) {
		static const int versions[] = {UUID_TYPE_DCE_NIL, UUID_TYPE_DCE_RANDOM, UUID_TYPE_DCE_RANDOM, UUID_TYPE_DCE_TIME, 6, 7};
		generators[i](id);
		if (ask[0](id) != !i || ask[1](id) != versions[i] || ask[2](id) != (i ? UUID_VARIANT_DCE : UUID_VARIANT_NCS))
			return 1;
		unparse[0](id, text);
		if (parse(text, other) || compare(id, other) || parse_range(text, text + 36, other) || compare(id, other))
			return 2;
	}
	unparse[1](id, text);
	unparse[2](id, again);
	if (safe(other) > 0 || compare(id, other) == 0 || at(other, &then) != then.tv_sec || time(NULL) - then.tv_sec > 1)
		return 3;
	copy(id, *template("dns"));
	if (compare(id, dns))
		return 4;
	for (i = 0; i < 2; i++) {
		named[i](id, dns, "www.example.com", strlen("www.example.com"));
		unparse[0](id, text);
		puts(text);
	}
	return 0;
}

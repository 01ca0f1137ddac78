/* A program that links libuuid.a and another archive written in Rust. */
#include <uuid/uuid.h>

extern int catches(int), same(int);

int main(void)
{
	uuid_t one, two;

	uuid_generate(one);
	uuid_generate_time(two);
#ifdef SAME
	same(7);
#endif
	return !(uuid_type(one) == 4 && uuid_type(two) == 1 && catches(7) == 10);
}

/* Thread-local storage of the model that compilers use for any library. */
static __thread volatile char variable[64];

__attribute__((constructor)) static void use(void) { variable[0] = 1; }

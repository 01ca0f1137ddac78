/* Thread-local storage that the loader must find in what each thread has from
 * its start. One variable of this model decides for the whole library.
 */
static __thread volatile char variable[SIZE] __attribute__((tls_model("initial-exec")));

__attribute__((constructor)) static void use(void) { variable[0] = 1; }

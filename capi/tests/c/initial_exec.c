/* Thread-local storage that each thread must have from its start. One variable of this
 * model requires that for the whole library.
 */
static __thread volatile char variable[SIZE] __attribute__((tls_model("initial-exec")));

__attribute__((constructor)) static void use(void) { variable[0] = 1; }

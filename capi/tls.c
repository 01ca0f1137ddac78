/* Has the loader place the library's thread-local storage within each thread's
 * own when the library is loaded by dlopen(3), too. Otherwise glibc allocates
 * it at a thread's first UUID, and a signal handler that interrupts malloc(3)
 * and makes one hangs. One variable of this model decides for all of them.
 */
static __thread volatile char placed __attribute__((tls_model("initial-exec")));

__attribute__((constructor)) static void place(void) { placed = 1; }

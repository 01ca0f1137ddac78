/* Does the same as src/bin/retaken.rs, with libuuid. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <uuid/uuid.h>

int main(void) {
  uuid_t id;
  uuid_generate_random(id);
  if (close_range(3, 1000, 0) != 0) return 2;
  int files[9];
  for (int i = 0; i < 9; i++) files[i] = open("/etc/passwd", O_RDONLY);
  for (int i = 0; i < 20000; i++) uuid_generate_random(id);
  int untouched = 1;
  for (int i = 0; i < 9; i++) untouched &= lseek(files[i], 0, SEEK_CUR) == 0;
  printf("outcome=\"%s\"\n", untouched ? "✓" : "✗ foreign bytes");
  return 0;
}

/* The first process of a guest. It mounts the file systems that programs expect, runs the lines of
 * /commands one after the other, prints how each ended, and switches the machine off.
 *
 * The words of a line are separated by spaces. Words such as NAME=VALUE before the program are its
 * environment. If the first word is !, the program must fail. The guest has no shell. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void check(int failed, const char *what) {
  if (failed) printf("init: %s: %s\n", what, strerror(errno));
}

static void mount_at(const char *type, const char *where, const char *data) {
  mkdir(where, 0755);
  /* The kernel may have mounted /dev itself. */
  check(mount(type, where, type, 0, data) && errno != EBUSY, where);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static void prepare(void) {
  mount_at("devtmpfs", "/dev", NULL);
  int console = open("/dev/console", O_RDWR);
  for (int fd = 0; fd < 3; fd++) dup2(console, fd);
  mount_at("proc", "/proc", NULL);
  mount_at("sysfs", "/sys", NULL);
  mount_at("devpts", "/dev/pts", "ptmxmode=666");
  mount_at("tmpfs", "/dev/shm", "mode=1777");
  mkdir("/tmp", 0777);
  chmod("/tmp", 01777);
  check(symlink("/proc/self/fd", "/dev/fd"), "/dev/fd");

  int any = socket(AF_INET, SOCK_DGRAM, 0);
  struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP};
  check(ioctl(any, SIOCSIFFLAGS, &loopback), "lo");
  close(any);

  /* A login on Debian has these. */
  struct rlimit files = {1024, 1 << 16};
  check(setrlimit(RLIMIT_NOFILE, &files), "limit of descriptors");
  setenv("PATH", "/bin", 1);
  setenv("HOME", "/tmp", 1);
  check(chdir("/tmp"), "/tmp");
}

/* Does the part of /bin/ls that the scenarios use: it prints where the links of a folder lead. */
static int list(const char *where) {
  DIR *folder = opendir(where);
  for (struct dirent *entry; folder && (entry = readdir(folder));) {
    char target[4096] = "";
    if (readlinkat(dirfd(folder), entry->d_name, target, sizeof target - 1) > 0)
      printf("%s -> %s\n", entry->d_name, target);
  }
  return !folder;
}

/* Runs a line, and returns its exit status as a shell does. */
static int run(char *line) {
  char *words[1024];
  int count = 0;
  for (char *word = strtok(line, " \n"); word && count < 1023; word = strtok(NULL, " \n"))
    words[count++] = word;
  words[count] = NULL;
  int child = fork();
  if (!child) {
    char **program = words;
    setsid();
    while (*program && strchr(*program, '=')) putenv(*program++);
    if (*program) execvp(*program, program);
    check(1, *program ? *program : "no program");
    _exit(127);
  }
  int status = 0;
  /* wait() also returns orphans. */
  for (int ended; (ended = wait(&status)) != child;)
    if (ended < 0 && errno != EINTR) return 127;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int count, char **words) {
  if (getpid() != 1) return list(words[count - 1]);
  setvbuf(stdout, NULL, _IONBF, 0);
  prepare();
  struct utsname system;
  uname(&system);
  printf("=== guest %s %s, up %.1f s\n", system.release, system.machine, now());

  FILE *commands = fopen("/commands", "r");
  check(!commands, "/commands");
  char *line = NULL;
  size_t size = 0;
  int failed = !commands;
  while (commands && getline(&line, &size, commands) > 1) {
    char name[200];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(line, "\n"), line);
    double begin = now();
    int control = line[0] == '!', status = run(line + control);
    failed |= control == !status;
    printf("=== status %d after %.1f s: %s\n", status, now() - begin, name);
  }
  printf("=== done %d\n", failed);
  sync();
  reboot(RB_POWER_OFF);
  /* A machine that cannot be switched off restarts, which ends the emulator. */
  reboot(RB_AUTOBOOT);
  for (;;) pause();
}

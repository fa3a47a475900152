// The limits: for each row of the benchmark the same work with nothing around it, so that what is left is the kernel's
// cost. Beside them stand the programs under supervision (true, pause, stay, lines, storm), the same for ours and for peers.
//
// A program that has come up, or has something to tell, connects to the driver: SVC_BENCH is the name of its abstract
// socket, and the connection's end is the program's.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

// linux/sched.h, which musl-gcc does not look for: clone3(2).
struct clone_args {
  uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};
static const uint64_t INTO_CGROUP = 0x200000000ULL;

static void die(const char *what) {
  fprintf(stderr, "limit: %s: %s\n", what, strerror(errno));
  _exit(70);
}

static int must(int result, const char *what) {
  if (result < 0) die(what);
  return result;
}

// --- Telling the driver ---

static int call(const char *name, int abstract) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  socklen_t length = strlen(name);
  if (length + 1 >= sizeof address.sun_path) die("name of the socket");
  memcpy(address.sun_path + abstract, name, length);
  int fd = must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  length += offsetof(struct sockaddr_un, sun_path) + 1;
  must(connect(fd, (struct sockaddr *)&address, length), "connect");
  return fd;
}

static int hello(void) {
  const char *name = getenv("SVC_BENCH");
  if (!name) die("SVC_BENCH");
  return call(name, 1);
}

static void tell_nanoseconds(long long nanoseconds) {
  dprintf(hello(), "%lld\n", nanoseconds);
}

static long long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

// --- Programs under supervision ---

static _Noreturn void be_paused(void) {
  hello();
  for (;;) pause();
}

// Lines of 100 bytes to standard output; tells how long it took until they had left the pipe.
static int lines(long count) {
  enum { LINE = 100, LINES = 655 };
  static char block[LINE * LINES];
  memset(block, 'x', sizeof block);
  for (int n = 1; n <= LINES; n++) block[n * LINE - 1] = '\n';
  long long begin = now();
  while (count > 0) {
    size_t rest = (count < LINES ? count : LINES) * LINE;
    count -= LINES;
    for (char *at = block; rest > 0;) {
      ssize_t done = write(1, at, rest);
      if (done < 0) die("write");
      at += done;
      rest -= done;
    }
  }
  for (int left = 1; left > 0;) {
    must(ioctl(1, FIONREAD, &left), "FIONREAD");
    if (left > 0) usleep(200);
  }
  tell_nanoseconds(now() - begin);
  return 0;
}

// Orphans by double fork, of which somebody else is to be the parent; tells how long it took until none was left.
static int storm(long count) {
  pid_t *orphans = mmap(0, count * sizeof *orphans, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (orphans == MAP_FAILED) die("mmap");
  long long begin = now();
  for (long n = 0; n < count; n++) {
    pid_t child = must(fork(), "fork");
    if (child == 0) {
      pid_t orphan = must(fork(), "fork");
      if (orphan > 0) orphans[n] = orphan;
      _exit(0);
    }
    must(waitpid(child, 0, 0), "waitpid");
  }
  for (long n = 0; n < count; n++)
    while (kill(orphans[n], 0) == 0) usleep(100);
  tell_nanoseconds(now() - begin);
  return 0;
}

// --- An isolated start ---

enum { GROUPS_MAX = 8 };
enum root { OWN, MACHINE };

// "DIR:FILE=VALUE,FILE=VALUE": where a group is made, and its limits.
struct groups {
  int count;
  char *dir[GROUPS_MAX], *limits[GROUPS_MAX];
};

static struct groups parse_groups(char **arguments, int count) {
  struct groups groups = {.count = count};
  if (count > GROUPS_MAX) die("too many groups");
  for (int n = 0; n < count; n++) {
    groups.dir[n] = strtok(arguments[n], ":");
    groups.limits[n] = strtok(0, "");
  }
  return groups;
}

static void put(int dir, const char *file, const char *value) {
  int fd = must(openat(dir, file, O_WRONLY | O_CLOEXEC), file);
  if (write(fd, value, strlen(value)) < 0) die(file);
  close(fd);
}

// Makes the groups. On v1 the child joins by `joins`; on v2 it is cloned into `into`.
static int make_groups(const struct groups *groups, int nth, int *joins, int *into) {
  int count = 0;
  *into = -1;
  for (int n = 0; n < groups->count; n++) {
    char path[4096], limits[1024];
    snprintf(path, sizeof path, "%s/%d", groups->dir[n], nth);
    must(mkdir(path, 0755), path);
    int dir = must(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), path);
    snprintf(limits, sizeof limits, "%s", groups->limits[n] ? groups->limits[n] : "");
    for (char *rest = limits, *limit; (limit = strsep(&rest, ",")) != 0;) {
      char *value = strchr(limit, '=');
      if (value) *value = 0, put(dir, limit, value + 1);
    }
    int tasks = openat(dir, "tasks", O_WRONLY | O_CLOEXEC);
    if (tasks >= 0) {
      joins[count++] = tasks;
      close(dir);
    } else {
      *into = dir;
    }
  }
  return count;
}

static void remove_groups(const struct groups *groups, int nth) {
  for (int n = 0; n < groups->count; n++) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%d", groups->dir[n], nth);
    // The kernel lets go of the last process a moment after it was reaped.
    while (rmdir(path) < 0 && errno == EBUSY) usleep(50);
  }
}

static void over(const char *kind, const char *where, unsigned long flags, const char *options) {
  must(mount(kind, where, kind, flags, options), where);
}

static void make_devices(const char *dev) {
  static const struct { const char *name; int major, minor; } nodes[] = {
      {"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};
  char path[4096];
  over("tmpfs", dev, MS_NOSUID | MS_NOEXEC, "mode=0755,size=64k");
  for (size_t n = 0; n < sizeof nodes / sizeof *nodes; n++) {
    snprintf(path, sizeof path, "%s/%s", dev, nodes[n].name);
    must(mknod(path, S_IFCHR | 0666, makedev(nodes[n].major, nodes[n].minor)), path);
  }
}

static void enter_own_root(const char *root) {
  must(mount(root, root, 0, MS_BIND | MS_REC, 0), root);
  must(chdir(root), root);
  over("proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0);
  over("sysfs", "sys", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, 0);
  make_devices("dev");
  must(syscall(SYS_pivot_root, ".", "."), "pivot_root");
  must(umount2(".", MNT_DETACH), "umount2");
  must(chdir("/"), "/");
}

static void read_only(const char *path) {
  if (mount(path, path, 0, MS_BIND | MS_REC, 0) < 0) {
    if (errno == ENOENT) return;
    die(path);
  }
  must(mount(0, path, 0, MS_REMOUNT | MS_BIND | MS_RDONLY, 0), path);
}

static void hide(const char *path) {
  struct stat meta;
  if (stat(path, &meta) < 0) return;
  if (S_ISDIR(meta.st_mode))
    over("tmpfs", path, MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0555,size=0");
  else
    must(mount("/dev/null", path, 0, MS_BIND, 0), path);
}

// The machine's root with what profile "standard" protects of it (INTERFACE section 2).
static void protect_machine(void) {
  static const char *const before[] = {"/usr", "/boot", "/etc"};
  static const char *const after[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", "/sys"};
  static const char *const hidden[] = {"/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                                       "/proc/scsi", "/proc/sched_debug", "/proc/timer_list", "/sys/firmware"};
  for (size_t n = 0; n < sizeof before / sizeof *before; n++) read_only(before[n]);
  over("tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777");
  over("tmpfs", "/var/tmp", MS_NOSUID | MS_NODEV, "mode=1777");
  make_devices("/dev");
  must(mkdir("/dev/shm", 01777) | mkdir("/dev/pts", 0755), "/dev");
  over("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777");
  over("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,mode=0620,ptmxmode=0666");
  over("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0);
  for (size_t n = 0; n < sizeof after / sizeof *after; n++) read_only(after[n]);
  for (size_t n = 0; n < sizeof hidden / sizeof *hidden; n++) hide(hidden[n]);
}

static void bring_loopback_up(void) {
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
  int fd = must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
  must(ioctl(fd, SIOCSIFFLAGS, &request), "SIOCSIFFLAGS");
}

static pid_t start_isolated(enum root root, const struct groups *groups, int nth, unsigned long namespaces, char **program) {
  int joins[GROUPS_MAX], into, count = make_groups(groups, nth, joins, &into);
  struct clone_args clone = {.flags = namespaces | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC,
                             .exit_signal = SIGCHLD};
  if (into >= 0) clone.flags |= INTO_CGROUP, clone.cgroup = into;
  pid_t pid = must(syscall(SYS_clone3, &clone, sizeof clone), "clone3");
  if (pid == 0) {
    for (int n = 0; n < count; n++)
      if (write(joins[n], "0", 1) < 0) die("tasks");
    must(unshare(CLONE_NEWCGROUP), "unshare");
    must(mount(0, "/", 0, MS_REC | MS_SLAVE, 0), "/");
    if (root == OWN) enter_own_root(getenv("SVC_BENCH_ROOT"));
    else protect_machine();
    if (namespaces & CLONE_NEWNET) bring_loopback_up();
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, 0);
    execve(program[0], program, environ);
    die(program[0]);
  }
  for (int n = 0; n < count; n++) close(joins[n]);
  if (into >= 0) close(into);
  return pid;
}

// One isolated start of a program, from the making of its groups to their removal.
static int isolate(enum root root, const struct groups *groups, char **program) {
  pid_t pid = start_isolated(root, groups, getpid(), CLONE_NEWNET, program);
  int status;
  must(waitpid(pid, &status, 0), "waitpid");
  remove_groups(groups, getpid());
  return WIFEXITED(status) ? WEXITSTATUS(status) : 71;
}

// A program that refuses to run where controllers are on v1 and on v2 at once sees v1 alone.
static int on_v1(char **program) {
  must(unshare(CLONE_NEWNS), "unshare");
  must(mount(0, "/", 0, MS_REC | MS_SLAVE, 0), "/");
  must(umount2("/sys/fs/cgroup/unified", MNT_DETACH), "umount");
  execve(program[0], program, environ);
  die(program[0]);
  return 0;
}

// --- Supervision of pausing programs, and of orphans ---

static pid_t start_plain(char **program) {
  pid_t pid = must(vfork(), "vfork");
  if (pid == 0) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, 0);
    execve(program[0], program, environ);
    _exit(72);
  }
  return pid;
}

// Keeps `count` programs up until SIGTERM; then ends them and itself. Isolated ones where there are groups.
static int supervise(long count, const struct groups *groups, char **program) {
  pid_t *pids = calloc(count, sizeof *pids);
  long left = count;
  int ending = 0, isolated = groups->count > 0;
  sigset_t both;
  sigemptyset(&both), sigaddset(&both, SIGTERM), sigaddset(&both, SIGCHLD);
  sigprocmask(SIG_BLOCK, &both, 0);
  for (long n = 0; n < count; n++)
    pids[n] = isolated ? start_isolated(MACHINE, groups, n, 0, program) : start_plain(program);
  while (left > 0) {
    if (sigwaitinfo(&both, 0) == SIGTERM) {
      ending = 1;
      // PID 1 of a pid namespace hears nothing else.
      for (long n = 0; n < count; n++) kill(pids[n], isolated ? SIGKILL : SIGTERM);
    }
    for (pid_t pid; (pid = waitpid(-1, 0, WNOHANG)) > 0;) {
      long n = 0;
      while (n < count && pids[n] != pid) n++;
      if (isolated) remove_groups(groups, n);
      if (ending) left--;
      else pids[n] = isolated ? start_isolated(MACHINE, groups, n, 0, program) : start_plain(program);
    }
  }
  return 0;
}

// PID 1 and nothing else: reaps until the program that it started has ended.
static int reap(char **program) {
  pid_t child = start_plain(program);
  while (waitpid(-1, 0, 0) != child) {}
  return 0;
}

// --- Boot ---

static const char UP_FILE[] = "/up", UP_SOCKET[] = "svc-bench-up";
enum { UP_BYTES = 4096 };

// A service of a guest. Each adds a byte to the file; the one that makes it full tells its clock to who waits.
static _Noreturn void be_up(void) {
  struct stat meta;
  int fd = must(open(UP_FILE, O_WRONLY | O_APPEND | O_CLOEXEC), UP_FILE);
  if (write(fd, "", 1) != 1 || fstat(fd, &meta) < 0) die(UP_FILE);
  if (meta.st_size >= UP_BYTES) dprintf(call(UP_SOCKET, 1), "%lld\n", now());
  close(fd);
  for (;;) pause();
}

// PSS of all processes but of this program, in KiB.
static long supervision_memory(void) {
  char path[64], line[256], program[64];
  long all = 0, one;
  must(mkdir("/watch", 0700), "/watch");
  over("proc", "/watch", 0, 0);
  DIR *processes = opendir("/watch");
  for (struct dirent *entry; processes && (entry = readdir(processes)) != 0;) {
    snprintf(path, sizeof path, "/watch/%.16s/exe", entry->d_name);
    ssize_t length = readlink(path, program, sizeof program - 1);
    if (length < 0 || (program[length] = 0, strcmp(program, "/limit") == 0)) continue;
    snprintf(path, sizeof path, "/watch/%.16s/smaps_rollup", entry->d_name);
    FILE *rollup = fopen(path, "re");
    while (rollup && fgets(line, sizeof line, rollup))
      if (sscanf(line, "Pss: %ld", &one) == 1) all += one;
    if (rollup) fclose(rollup);
  }
  return all;
}

// As the init of a guest: fork and exec. The kernel hands on no words after a second "--".
static int up_all(long services) {
  struct groups none = {.count = 0};
  return supervise(services, &none, (char *[]){"/limit", "up", 0});
}

// PID 1 of a guest, before its init: takes the time, leaves somebody who says when all services are up, and becomes the init.
static int hand_over(long services, char **init) {
  long long begin = now();
  int fd = must(open(UP_FILE, O_WRONLY | O_CREAT, 0666), UP_FILE);
  must(fchmod(fd, 0666), UP_FILE);
  must(ftruncate(fd, UP_BYTES - services), UP_FILE);
  close(fd);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  memcpy(address.sun_path + 1, UP_SOCKET, sizeof UP_SOCKET - 1);
  int listener = must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  must(bind(listener, (struct sockaddr *)&address, offsetof(struct sockaddr_un, sun_path) + sizeof UP_SOCKET), "bind");
  must(listen(listener, 8), "listen");
  if (must(fork(), "fork") == 0) {
    char told[32] = "";
    setsid();
    int client = must(accept(listener, 0, 0), "accept");
    if (read(client, told, sizeof told - 1) <= 0) die("read");
    printf("\nBOOT: %lld ns\n", atoll(told) - begin);
    printf("BOOT: %ld KiB\n", supervision_memory());
    fflush(stdout);
    reboot(RB_POWER_OFF);
  }
  close(listener);
  setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
  execve(init[0], init, environ);
  die(init[0]);
  return 0;
}

// --- Logs and control ---

// Standard input to files of 16 MiB, of which four are kept.
static int collect(const char *dir) {
  enum { BLOCK = 256 << 10, FILE_BYTES = 16 << 20, KEPT = 4 };
  static char block[BLOCK];
  char path[4096];
  long long file_bytes = FILE_BYTES;
  int fd = -1, nth = 0;
  fcntl(0, F_SETPIPE_SZ, 1 << 20);
  for (ssize_t got; (got = read(0, block, sizeof block)) > 0;) {
    if (file_bytes + got > FILE_BYTES) {
      close(fd);
      snprintf(path, sizeof path, "%s/%d", dir, nth - KEPT);
      unlink(path);
      snprintf(path, sizeof path, "%s/%d", dir, nth++);
      fd = must(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640), path);
      file_bytes = 0;
    }
    if (write(fd, block, got) != got) die("write");
    file_bytes += got;
  }
  return 0;
}

// Answers each connection with as many bytes as it asks for.
static _Noreturn void serve(const char *name) {
  static char answer[1 << 20];
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", name);
  int listener = must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  must(bind(listener, (struct sockaddr *)&address, sizeof address), "bind");
  must(listen(listener, 64), "listen");
  memset(answer, 'x', sizeof answer);
  close(hello());
  for (;;) {
    int client = must(accept(listener, 0, 0), "accept");
    long wanted;
    if (read(client, &wanted, sizeof wanted) == sizeof wanted && write(client, answer, wanted) != wanted) die("answer");
    close(client);
  }
}

static int ask(const char *name, long wanted) {
  static char answer[64 << 10];
  int fd = call(name, 0);
  if (write(fd, &wanted, sizeof wanted) != sizeof wanted) die("ask");
  for (ssize_t got; (got = read(fd, answer, sizeof answer)) > 0;)
    if (write(1, answer, got) != got) die("write");
  return 0;
}

int main(int count, char **arguments) {
  const char *slash = strrchr(arguments[0], '/');
  // A service directory of s6 or runit has a link of this name to here: no shell on the way.
  if (strcmp(slash ? slash + 1 : arguments[0], "run") == 0) access(UP_FILE, F_OK) == 0 ? be_up() : be_paused();
  const char *mode = count > 1 ? arguments[1] : "";
  char **rest = arguments + 2;
  int split = 2;
  while (split < count && strcmp(arguments[split], "--") != 0) split++;
  char **program = arguments + (split < count ? split + 1 : count);
  if (strcmp(mode, "true") == 0) return 0;
  if (strcmp(mode, "pause") == 0) be_paused();
  // Tells nobody.
  if (strcmp(mode, "stay") == 0) for (;;) pause();
  if (strcmp(mode, "up") == 0) be_up();
  if (count < 3) return fprintf(stderr, "limit: %s: unknown mode\n", mode), 64;
  if (strcmp(mode, "lines") == 0) return lines(atol(rest[0]));
  if (strcmp(mode, "storm") == 0) return storm(atol(rest[0]));
  if (strcmp(mode, "hand-over") == 0) return hand_over(atol(rest[0]), rest + 1);
  if (strcmp(mode, "up-all") == 0) return up_all(atol(rest[0]));
  if (strcmp(mode, "reap") == 0) return reap(program);
  if (strcmp(mode, "on-v1") == 0) return on_v1(program);
  if (strcmp(mode, "collect") == 0) return collect(rest[0]);
  if (strcmp(mode, "serve") == 0) serve(rest[0]);
  if (strcmp(mode, "ask") == 0 && count > 3) return ask(rest[0], atol(rest[1]));
  struct groups groups = parse_groups(arguments + 3, split > 3 ? split - 3 : 0);
  if (strcmp(mode, "isolate") == 0) return isolate(strcmp(rest[0], "own") == 0 ? OWN : MACHINE, &groups, program);
  if (strcmp(mode, "supervise") == 0) return supervise(atol(rest[0]), &groups, program);
  return fprintf(stderr, "limit: %s: unknown mode\n", mode), 64;
}

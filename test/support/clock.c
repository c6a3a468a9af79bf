// Preloaded: shifts only the wall clock, by the seconds in $TMPDIR/offset. Creates a file seen-PID
// there once a process has read a shifted time. libev reads the clock through syscall().
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long (*real_syscall)(long, ...);

static long offset(void) {
  char path[512];
  char text[32] = "";
  snprintf(path, sizeof path, "%s/offset", getenv("TMPDIR"));
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t got = read(fd, text, sizeof text - 1);
  close(fd);
  long seconds = got > 0 ? atol(text) : 0;
  static int has_told = 0;
  if (seconds == 0 || has_told) return seconds;
  has_told = 1;
  snprintf(path, sizeof path, "%s/seen-%d", getenv("TMPDIR"), getpid());
  fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd >= 0 && write(fd, "x", 1) == 1) close(fd);
  return seconds;
}

static long kernel_time(clockid_t clock, struct timespec* now) {
  if (!real_syscall) real_syscall = dlsym(RTLD_NEXT, "syscall");
  return real_syscall(SYS_clock_gettime, clock, now);
}

int clock_gettime(clockid_t clock, struct timespec* now) {
  int result = (int)kernel_time(clock, now);
  if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) now->tv_sec += offset();
  return result;
}

int gettimeofday(struct timeval* restrict now, void* restrict zone) {
  (void)zone;
  struct timespec precise;
  clock_gettime(CLOCK_REALTIME, &precise);
  now->tv_sec = precise.tv_sec;
  now->tv_usec = precise.tv_nsec / 1000;
  return 0;
}

time_t time(time_t* target) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (target) *target = now.tv_sec;
  return now.tv_sec;
}

long syscall(long number, ...) {
  va_list list;
  va_start(list, number);
  long a[6];
  for (int index = 0; index < 6; ++index) a[index] = va_arg(list, long);
  va_end(list);
  if (number == SYS_clock_gettime) return clock_gettime((clockid_t)a[0], (struct timespec*)a[1]);
  if (!real_syscall) real_syscall = dlsym(RTLD_NEXT, "syscall");
  return real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

// Preloaded into workers by test/peers.ts: sendto hands the kernel less than it was given, at
// random, and sometimes nothing, as a kernel short of buffers does. What it reports is true.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>

enum { kSize = 2, kArguments = 6 };

static unsigned seed = 20261120;

// The addon calls the kernel through syscall(); whatever else does so passes unchanged.
long syscall(long number, ...) {
  static long (*real)(long, ...);
  if (!real) *(void**)&real = dlsym(RTLD_NEXT, "syscall");
  long a[kArguments];
  va_list list;
  va_start(list, number);
  for (int index = 0; index < kArguments; ++index) a[index] = va_arg(list, long);
  va_end(list);
  if (number == SYS_sendto) {
    const int chance = rand_r(&seed) % 8;
    if (chance == 0) {
      errno = EAGAIN;
      return -1;
    }
    if (chance < 6 && a[kSize] > 1) a[kSize] = 1 + rand_r(&seed) % (a[kSize] - 1);
  }
  return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

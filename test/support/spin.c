// Preloaded: a process that receives certain bytes never returns from recvfrom. See load.ts.
#include <string.h>

#include "syscall-shim.h"

enum { kBuffer = 1 };

static const char kBytes[] = "!spin without end!";

long syscall(long number, ...) {
  READ_ARGUMENTS(a, number);
  const long got = real_syscall(number, a);
  const long wanted = sizeof kBytes - 1;
  volatile int spins = number == SYS_recvfrom && got >= wanted &&
                       memcmp((const void*)a[kBuffer], kBytes, (size_t)wanted) == 0;
  while (spins) {
  }
  return got;
}

// Preloaded into workers by test/server/peers.ts: sendto passes the kernel a random part of its
// data, and sometimes nothing, like a kernel short of buffers. It reports the true number of bytes.
#include <errno.h>
#include <stdlib.h>

#include "syscall-shim.h"

enum { kSize = 2 };

static unsigned seed = 20261120;

long syscall(long number, ...) {
  READ_ARGUMENTS(a, number);
  if (number == SYS_sendto) {
    const int chance = rand_r(&seed) % 8;
    if (chance == 0) {
      errno = EAGAIN;
      return -1;
    }
    if (chance < 6 && a[kSize] > 1) a[kSize] = 1 + rand_r(&seed) % (a[kSize] - 1);
  }
  return real_syscall(number, a);
}

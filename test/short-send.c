// Preloaded into workers by test/peers.ts: send() hands the kernel less than it was given, at random,
// and sometimes nothing, as a kernel short of buffers does. What it reports is true.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

static unsigned seed = 20261120;

ssize_t send(int fd, const void *bytes, size_t size, int flags) {
  static ssize_t (*real)(int, const void *, size_t, int);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "send");
  const int chance = rand_r(&seed) % 8;
  if (chance == 0) {
    errno = EAGAIN;
    return -1;
  }
  if (chance < 6 && size > 1) size = 1 + (size_t)rand_r(&seed) % (size - 1);
  return real(fd, bytes, size, flags);
}

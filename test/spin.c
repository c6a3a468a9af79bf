// Preloaded: a process that receives certain bytes never comes back from recv(). See load.ts.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
#include <sys/socket.h>

static const char kBytes[] = "!spin for ever!";

ssize_t recv(int fd, void* buffer, size_t size, int flags) {
  ssize_t (*real)(int, void*, size_t, int) = dlsym(RTLD_NEXT, "recv");
  ssize_t got = real(fd, buffer, size, flags);
  size_t wanted = sizeof(kBytes) - 1;
  volatile int spins = got >= (ssize_t)wanted && memcmp(buffer, kBytes, wanted) == 0;
  while (spins) {
  }
  return got;
}

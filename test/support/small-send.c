// Preloaded into workers by test/comet/mailbox.ts: sockets start with a small send buffer, so that
// a large message is not written completely.
#include <dlfcn.h>
#include <sys/socket.h>

int accept4(int listener, struct sockaddr* address, socklen_t* size, int flags) {
  static int (*real)(int, struct sockaddr*, socklen_t*, int);
  if (!real) *(void**)&real = dlsym(RTLD_NEXT, "accept4");
  const int fd = real(listener, address, size, flags);
  const int bytes = 4096;
  if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  return fd;
}

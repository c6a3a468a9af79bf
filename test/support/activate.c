// Starts a program with inherited listening sockets: activate [NAME=]KIND… -- PROGRAM…, as systemd
// does. A KIND is tcp, tcp:PORT, tcp6, unix:PATH (they listen), bound, udp (they do not), or file.
// LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES are set unless the environment has them already.
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { FIRST = 3 };

static void fail(const char* what) {
  perror(what);
  exit(126);
}

static void bind_to(int fd, const void* address, size_t bytes) {
  if (bind(fd, address, (socklen_t)bytes) != 0) fail("bind");
}

static int open_tcp(int type, int port) {
  const struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)port),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const int fd = socket(AF_INET, type, 0);
  bind_to(fd, &address, sizeof address);
  return fd;
}

static int open_tcp6(void) {
  const struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
  const int fd = socket(AF_INET6, SOCK_STREAM, 0);
  bind_to(fd, &address, sizeof address);
  return fd;
}

static int open_unix(const char* path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  bind_to(fd, &address, sizeof address);
  return fd;
}

static int open_kind(const char* kind) {
  int fd = -1;
  if (strcmp(kind, "bound") == 0) return open_tcp(SOCK_STREAM, 0);
  if (strcmp(kind, "udp") == 0) return open_tcp(SOCK_DGRAM, 0);
  if (strcmp(kind, "file") == 0) return open("/dev/null", O_RDWR);
  if (strcmp(kind, "tcp") == 0) fd = open_tcp(SOCK_STREAM, 0);
  if (strncmp(kind, "tcp:", 4) == 0) fd = open_tcp(SOCK_STREAM, atoi(kind + 4));
  if (strcmp(kind, "tcp6") == 0) fd = open_tcp6();
  if (strncmp(kind, "unix:", 5) == 0) fd = open_unix(kind + 5);
  if (listen(fd, 100) != 0) fail(kind);
  return fd;
}

int main(int count, char** words) {
  char names[1024] = "";
  char number[16];
  int at = 1;
  for (; at < count && strcmp(words[at], "--") != 0; ++at) {
    const char* kind = strchr(words[at], '=');
    const int length = kind == NULL ? 4 : (int)(kind - words[at]);
    const int fd = open_kind(kind == NULL ? words[at] : kind + 1);
    // The descriptors are numbered from 3 in order, because no other is open here.
    if (fd != FIRST + at - 1) fail("descriptors");
    const size_t used = strlen(names);
    snprintf(names + used,
             sizeof names - used,
             "%s%.*s",
             at > 1 ? ":" : "",
             length,
             kind == NULL ? "none" : words[at]);
  }
  snprintf(number, sizeof number, "%d", at - 1);
  setenv("LISTEN_FDS", number, 0);
  setenv("LISTEN_FDNAMES", names, 0);
  snprintf(number, sizeof number, "%d", getpid());
  setenv("LISTEN_PID", number, 0);
  execvp(words[at + 1], words + at + 1);
  fail("exec");
}

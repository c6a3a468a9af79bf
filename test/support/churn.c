// Connects and disconnects in a loop, for test/server/stress.slow.ts: churn HOST PORT CYCLES FIRST.
// Every cycle ends in one of five ways and has its own source address (127.x.y.z, by FIRST +
// cycle), so that ports in TIME_WAIT never run out. Exits 1 at the first error.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in target;

static void fail(const char* what, unsigned cycle) {
  fprintf(stderr, "cycle %u: %s: %m\n", cycle, what);
  exit(1);
}

static int dial(unsigned cycle) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("socket", cycle);
  const int on = 1;
  const struct timeval patience = {20, 0};
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  // 127.16.0.0 and up: a million addresses that other programs do not use.
  struct sockaddr_in source = {.sin_family = AF_INET};
  source.sin_addr.s_addr = htonl(0x7f100000U + cycle % 0xf00000U);
  if (bind(fd, (struct sockaddr*)&source, sizeof source) != 0) fail("bind", cycle);
  if (connect(fd, (struct sockaddr*)&target, sizeof target) != 0) fail("connect", cycle);
  return fd;
}

static void reset(int fd) {
  const struct linger hard = {1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
}

static void send_all(int fd, const char* bytes, size_t size, unsigned cycle) {
  if (send(fd, bytes, size, MSG_NOSIGNAL) != (ssize_t)size) fail("send", cycle);
}

/// Reads the echo, and then the end of the stream if `and_end` is set.
static void want(int fd, const char* bytes, size_t size, int and_end, unsigned cycle) {
  char found[64];
  size_t count = 0;
  while (count < size) {
    const ssize_t got = recv(fd, found + count, sizeof found - count, 0);
    if (got <= 0) fail("recv", cycle);
    count += (size_t)got;
  }
  if (count != size || memcmp(found, bytes, size) != 0) fail("wrong answer", cycle);
  if (and_end && recv(fd, found, sizeof found, 0) != 0) fail("no end", cycle);
}

static void run(unsigned cycle) {
  char bytes[32];
  const size_t size = (size_t)snprintf(bytes, sizeof bytes, "cycle %u", cycle);
  const int fd = dial(cycle);
  switch (cycle % 5) {
    case 0:  // Sends nothing and closes.
      break;
    case 1:  // Sends nothing and resets.
      reset(fd);
      break;
    case 2:  // Sends, shuts down its side and reads the rest.
      send_all(fd, bytes, size, cycle);
      shutdown(fd, SHUT_WR);
      want(fd, bytes, size, 1, cycle);
      break;
    case 3:  // Sends and does not read; closes and resets alternately.
      send_all(fd, bytes, size, cycle);
      if (cycle % 2 == 0) reset(fd);
      break;
    default:  // Sends, reads and closes.
      send_all(fd, bytes, size, cycle);
      want(fd, bytes, size, 0, cycle);
      break;
  }
  close(fd);
}

int main(int count, char** words) {
  if (count != 5) return 2;
  target.sin_family = AF_INET;
  target.sin_port = htons((in_port_t)atoi(words[2]));
  if (inet_pton(AF_INET, words[1], &target.sin_addr) != 1) return 2;
  const unsigned cycles = (unsigned)atoi(words[3]);
  const unsigned first = (unsigned)atoi(words[4]);
  for (unsigned cycle = first; cycle < first + cycles; ++cycle) run(cycle);
  return 0;
}

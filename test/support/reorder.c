// A looped-back network link for test/comet/network.ts: reorder NAME DELAY_MS NTH HOLD_MS SECONDS
// makes the TUN device NAME. A packet sent into it returns after DELAY_MS with source and
// destination swapped, as if from the other end. Every NTH packet with data waits HOLD_MS longer,
// so that later packets overtake it. Ends by itself after SECONDS.
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { kPacketBytesMax = 1500, kPacketsMax = 8192, kDataBytesMin = 200 };
enum { kSource = 12, kDestination = 16, kAddressBytes = 4 };

typedef struct {
  int64_t due_ms;
  ssize_t bytes;
  char data[kPacketBytesMax];
} Packet;

// All packets of a queue wait equally long, so the first is always due first.
typedef struct {
  Packet packets[kPacketsMax];
  unsigned first;
  unsigned count;
} Queue;

static Queue prompt, held;

static void fail(const char* what) {
  perror(what);
  exit(1);
}

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static int open_device(const char* name) {
  const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
  if (fd < 0 || ioctl(fd, TUNSETIFF, &request) != 0) fail("/dev/net/tun");
  return fd;
}

// Swapping the addresses does not change the checksums of IP and TCP.
static void turn_round(char* packet) {
  char source[kAddressBytes];
  memcpy(source, packet + kSource, kAddressBytes);
  memcpy(packet + kSource, packet + kDestination, kAddressBytes);
  memcpy(packet + kDestination, source, kAddressBytes);
}

// Sends the due packets; returns the milliseconds until the next one is due, -1 for none.
static int send_due(int fd, Queue* queue) {
  while (queue->count > 0) {
    const Packet* packet = &queue->packets[queue->first];
    const int64_t wait_ms = packet->due_ms - now_ms();
    if (wait_ms > 0) return (int)wait_ms;
    if (write(fd, packet->data, packet->bytes) < 0) perror("write");
    queue->first = (queue->first + 1) % kPacketsMax;
    --queue->count;
  }
  return -1;
}

static void take(int fd, int delay_ms, unsigned nth, int hold_ms) {
  static unsigned number;
  while (prompt.count < kPacketsMax && held.count < kPacketsMax) {
    char data[kPacketBytesMax];
    const ssize_t bytes = read(fd, data, sizeof data);
    if (bytes < 0) return;
    // Drops IPv6 router solicitations and everything else that is not IPv4.
    if (data[0] >> 4 != 4) continue;
    const int is_held = bytes >= kDataBytesMin && ++number % nth == 0;
    Queue* queue = is_held ? &held : &prompt;
    Packet* packet = &queue->packets[(queue->first + queue->count++) % kPacketsMax];
    // Rounds up to whole milliseconds, so that no packet is sent too early.
    packet->due_ms = now_ms() + 1 + delay_ms + (is_held ? hold_ms : 0);
    packet->bytes = bytes;
    memcpy(packet->data, data, bytes);
    turn_round(packet->data);
  }
}

int main(int count, char** words) {
  if (count != 6) return 2;
  const int fd = open_device(words[1]);
  alarm(atoi(words[5]));
  puts("ready");
  fflush(stdout);
  for (;;) {
    const int prompt_ms = send_due(fd, &prompt);
    const int held_ms = send_due(fd, &held);
    const int is_held_next = prompt_ms < 0 || (held_ms >= 0 && held_ms < prompt_ms);
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    poll(&readable, 1, is_held_next ? held_ms : prompt_ms);
    take(fd, atoi(words[2]), atoi(words[3]), atoi(words[4]));
  }
}

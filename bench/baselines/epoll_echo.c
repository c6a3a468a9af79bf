// The floor: an echo server on bare epoll that remembers nothing about a connection but its
// descriptor, and that only in the kernel. No server can hold an idle connection for less.
// A worker without room (descriptors, --connections-max) does not watch its listener until a
// connection closes.
#include <sys/epoll.h>

#include "baseline.h"

enum { kEventsMax = 512 };

static int epoll_fd = -1;
static bool listener_is_paused = false;

static bool watch(int fd) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static void pause_listener(struct Worker* worker) {
  if (epoll_ctl(epoll_fd, EPOLL_CTL_DEL, worker->listener, NULL) != 0) baseline_die("epoll_ctl");
  listener_is_paused = true;
}

static void resume_listener(struct Worker* worker) {
  if (!watch(worker->listener)) baseline_die("epoll_ctl");
  listener_is_paused = false;
}

static void accept_batch(struct Worker* worker) {
  // Bounded, so that a flood of new peers cannot starve the connections that want an answer.
  for (int i = 0; i < kAcceptBatchMax; i++) {
    int fd = baseline_accept(worker);
    if (fd == kNobodyWaiting) return;
    if (fd == kNoRoom) {
      pause_listener(worker);
      return;
    }
    if (!watch(fd)) baseline_close(worker, fd);
  }
}

static void serve(struct Worker* worker) {
  static struct epoll_event events[kEventsMax];
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) baseline_die("epoll_create1");
  resume_listener(worker);
  for (;;) {
    int count = epoll_wait(epoll_fd, events, kEventsMax, -1);
    if (count < 0 && errno != EINTR) baseline_die("epoll_wait");
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd;
      if (fd == worker->listener) {
        accept_batch(worker);
      } else if (!baseline_echo(fd)) {
        baseline_close(worker, fd);
        if (listener_is_paused) resume_listener(worker);
      }
    }
  }
}

int main(int argc, char** argv) {
  return baseline_run(argc, argv, serve);
}

// Shared by the servers on bare epoll: the epoll descriptor, and a listener that is not watched
// while its worker is full (descriptors, --connections-max), until a connection closes.
#ifndef MEGACOMET_BENCH_EPOLL_LISTENER_H
#define MEGACOMET_BENCH_EPOLL_LISTENER_H

#include <sys/epoll.h>

#include "baseline.h"

enum { kEventsMax = 512 };

static int epoll_fd = -1;
static bool listener_is_paused = false;

static inline void open_epoll(void) {
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) baseline_die("epoll_create1");
}

static inline bool watch(int fd) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static inline void pause_listener(struct Worker* worker) {
  if (epoll_ctl(epoll_fd, EPOLL_CTL_DEL, worker->listener, NULL) != 0) baseline_die("epoll_ctl");
  listener_is_paused = true;
}

static inline void resume_listener(struct Worker* worker) {
  if (!watch(worker->listener)) baseline_die("epoll_ctl");
  listener_is_paused = false;
}

#endif

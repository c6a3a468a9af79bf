// The floor: an echo server on bare epoll. Its only state of a connection is the descriptor, in the
// kernel. No server can hold an idle connection for less.
#include "epoll_listener.h"

static void accept_batch(struct Worker* worker) {
  // Bounded, so that a flood of new peers cannot starve open connections.
  for (int i = 0; i < kAcceptBatchMax; i++) {
    int fd = baseline_accept(worker);
    if (fd == kNoClient) return;
    if (fd == kFull) {
      pause_listener(worker);
      return;
    }
    if (!watch(fd)) baseline_close(worker, fd);
  }
}

static void serve(struct Worker* worker) {
  static struct epoll_event events[kEventsMax];
  open_epoll();
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

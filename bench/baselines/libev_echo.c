// The same echo server on plain libev, as a C programmer would write it from the manual: one
// malloc'd structure with an ev_io watcher for each connection. What our slab must beat.
// A worker without room (descriptors, --connections-max) does not watch its listener until a
// connection closes.
#include <ev.h>

#include "baseline.h"

struct Connection {
  ev_io io;
  struct Worker* worker;
};

static ev_io listener_io;

static void close_connection(struct ev_loop* loop, struct Connection* connection) {
  ev_io_stop(loop, &connection->io);
  baseline_close(connection->worker, connection->io.fd);
  free(connection);
  // Starting a watcher that is active already does nothing.
  ev_io_start(loop, &listener_io);
}

static void on_readable(struct ev_loop* loop, ev_io* io, int events) {
  struct Connection* connection = (struct Connection*)io;
  // libev reports EV_ERROR after it has stopped the watcher, for instance when the kernel refused
  // to take the descriptor: no event would ever follow.
  if ((events & EV_ERROR) != 0 || !baseline_echo(io->fd)) close_connection(loop, connection);
}

static void on_peer(struct ev_loop* loop, ev_io* io, int events) {
  struct Worker* worker = io->data;
  if ((events & EV_ERROR) != 0) baseline_die("listener");
  // Bounded, so that a flood of new peers cannot starve the connections that want an answer.
  for (int i = 0; i < kAcceptBatchMax; i++) {
    int fd = baseline_accept(worker);
    if (fd == kNobodyWaiting) return;
    if (fd == kNoRoom) {
      ev_io_stop(loop, io);
      return;
    }
    struct Connection* connection = malloc(sizeof(*connection));
    if (connection == NULL) {
      baseline_close(worker, fd);
      continue;
    }
    connection->worker = worker;
    ev_io_init(&connection->io, on_readable, fd, EV_READ);
    ev_io_start(loop, &connection->io);
  }
}

static void serve(struct Worker* worker) {
  // The backend is named, because LIBEV_FLAGS in the environment could choose another one.
  struct ev_loop* loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
  if (loop == NULL) {
    fprintf(stderr, "libev has no epoll backend on this machine\n");
    return;
  }
  ev_io_init(&listener_io, on_peer, worker->listener, EV_READ);
  listener_io.data = worker;
  ev_io_start(loop, &listener_io);
  ev_run(loop, 0);
}

int main(int argc, char** argv) {
  return baseline_run(argc, argv, serve);
}

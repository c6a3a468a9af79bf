// The same echo server on plain libev, as in its manual: one malloc'd structure with an ev_io
// watcher per connection. The slab of megacomet-ts must be better. A full worker (descriptors,
// --connections-max) does not watch its listener until a connection closes.
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
  // Starting an active watcher does nothing.
  ev_io_start(loop, &listener_io);
}

static void on_readable(struct ev_loop* loop, ev_io* io, int events) {
  struct Connection* connection = (struct Connection*)io;
  // libev reports EV_ERROR after it has stopped the watcher, for instance if epoll_ctl rejected the
  // descriptor. No further event would arrive.
  if ((events & EV_ERROR) != 0 || !baseline_echo(io->fd)) close_connection(loop, connection);
}

static void on_peer(struct ev_loop* loop, ev_io* io, int events) {
  struct Worker* worker = io->data;
  if ((events & EV_ERROR) != 0) baseline_die("listener");
  // Bounded, so that a flood of new peers cannot starve open connections.
  for (int i = 0; i < kAcceptBatchMax; i++) {
    int fd = baseline_accept(worker);
    if (fd == kNoClient) return;
    if (fd == kFull) {
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
  // Explicit, because LIBEV_FLAGS in the environment could select another backend.
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

// Services over a slab whose connections have no sockets: they only remember who was closed.
#pragma once

#include <functional>
#include <map>

#include "connection/services.h"
#include "os/slab.h"

namespace unit {

using namespace megacomet;

class FakeServices final : public Services {
 public:
  explicit FakeServices(Slab<Connection>* connections) : connections_(connections) {}

  void send(Connection*, const uint8_t*, size_t) override {}

  void close(Connection* connection, CloseCause cause) override {
    const int fd = connection->fd();
    closed[fd] = cause;
    if (on_close) on_close();
    connections_->release(fd);
  }

  void disconnect(Connection* connection, CloseCause cause) override { close(connection, cause); }
  void expire(Connection* connection) override { close(connection, CloseCause::kIdle); }

  Counters& counters() override { return counters_; }
  CometServices* comet() override { return nullptr; }

  /// Adds a connection; with `owes` in the state of one that is owed to.
  Connection* open(int fd, uint16_t deadline = 0, bool owes = false) {
    Connection* connection = connections_->occupy(fd);
    connection->watcher.fd = fd;
    connection->deadline = deadline;
    connection->state = owes ? ConnectionState::kOwing : ConnectionState::kOpen;
    return connection;
  }

  std::map<int, CloseCause> closed;
  std::function<void()> on_close;

 private:
  Slab<Connection>* connections_;
  Counters counters_;
};

}  // namespace unit

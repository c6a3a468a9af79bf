// An owner of connections without sockets: it records the calls.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "connection/connection_owner.h"
#include "connection/sessions.h"
#include "os/slab.h"

namespace unit {

using namespace megacomet;

class FakeOwner final : public ConnectionOwner {
 public:
  explicit FakeOwner(Slab<Connection>* connections) : connections_(connections) {}

  void close(Connection* connection, CloseCause cause) override {
    const int fd = connection->fd();
    closed[fd] = cause;
    if (on_close) on_close(connection);
    connections_->release(fd);
  }

  void reject(Connection* connection, uint8_t, Rejection, std::string_view) override {
    close(connection, CloseCause::kLimited);
  }
  void begin(Connection* connection, uint8_t protocol) override {
    connection->protocol = protocol & 0xfU;
  }
  void disconnect(Connection* connection, CloseCause cause, std::string_view reason) override {
    last_reason = reason;
    close(connection, cause);
  }
  void expire(Connection* connection) override { close(connection, CloseCause::kIdle); }
  [[nodiscard]] bool would_lose_output(const Connection& connection) const override {
    return connection.is_blocked;
  }
  void watch(Connection* connection, int events) override { watched[connection->fd()] = events; }
  void set_deadline(Connection* connection, uint32_t seconds) override {
    connection->deadline = static_cast<uint16_t>(seconds);
  }
  void shorten_deadline(Connection* connection, uint32_t seconds) override {
    if (seconds < connection->deadline) connection->deadline = static_cast<uint16_t>(seconds);
  }
  void begin_message(Connection* connection, uint32_t seconds) override {
    connection->begin_message(static_cast<uint16_t>(seconds));
  }
  [[nodiscard]] bool count_control(Connection* connection) override {
    return connection->count_control();
  }
  [[nodiscard]] bool keep_input(Connection*, std::string_view bytes, std::string* kept) override {
    kept->append(bytes);
    return true;
  }
  void shake(Connection*, const uint8_t*, size_t) override {}
  [[nodiscard]] bool is_shaking(const Connection&) const override { return false; }
  void feed(Connection*, std::string bytes) override { fed += bytes; }

  /// Adds an open connection. A blocked one has no session here, only the flag.
  Connection* open(int fd, uint16_t deadline = 0, bool is_blocked = false) {
    Connection* connection = connections_->occupy(fd);
    connection->watcher.fd = fd;
    connection->generation = ++generation_;
    connection->deadline = deadline;
    connection->state = ConnectionState::kOpen;
    connection->is_blocked = is_blocked;
    return connection;
  }

  std::map<int, CloseCause> closed;
  std::map<int, int> watched;
  std::string fed;
  std::string last_reason;
  /// Called before the record is freed.
  std::function<void(Connection*)> on_close;

 private:
  Slab<Connection>* connections_;
  uint32_t generation_ = 0;
};

}  // namespace unit

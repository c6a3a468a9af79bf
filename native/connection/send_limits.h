// How much output may be queued: for one connection, and for all of a worker together.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bounds.h"
#include "connection/connection_owner.h"
#include "ipc/segment.h"
#include "os/slab.h"
#include "pubsub/message.h"

namespace megacomet {

class SendLimits {
 public:
  struct Limits {
    /// Bytes queued for one connection before its messages are dropped or it closes.
    size_t connection_bytes_max = bounds::kReadBytesMax;
    /// Added for a connection that is not read while it is blocked: it must be able to queue its
    /// responses to everything that was read before.
    size_t unread_bytes_max = 0;
    /// Bytes queued for all connections of the worker.
    uint64_t worker_bytes_max = UINT64_MAX;
  };

  SendLimits(ConnectionOwner* owner, Slab<Connection>* connections, Counters* counters)
      : owner_(owner), connections_(connections), counters_(counters) {}
  SendLimits(const SendLimits&) = delete;
  SendLimits& operator=(const SendLimits&) = delete;

  void set(const Limits& limits) { limits_ = limits; }
  [[nodiscard]] const Limits& get() const { return limits_; }

  /// Makes room for `size` more bytes in the worker: closes the connections with the most queued
  /// output. False if this one was closed.
  [[nodiscard]] bool make_worker_room(Connection* connection, size_t size);

  /// Makes room for `size` more bytes in a send queue that is not empty, at most `bytes_max` in
  /// all. Drops messages where the policy of the new one allows it. False if the connection was
  /// closed.
  [[nodiscard]] bool make_room(Connection* connection,
                               size_t size,
                               size_t bytes_max,
                               SlowPolicy policy);

 private:
  [[nodiscard]] bool fits(size_t size, uint64_t bytes_max) const;
  void close_largest(size_t size);
  void close_for_memory(Connection* connection);

  ConnectionOwner* owner_;
  Slab<Connection>* connections_;
  Counters* counters_;
  Limits limits_;
};

}  // namespace megacomet

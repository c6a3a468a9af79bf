// What a protocol may ask of the worker that runs it. Level 4: an interface, no code.
#pragma once

#include <cstddef>
#include <cstdint>

#include "connection.h"
#include "segment.h"

namespace megacomet {

enum class CloseCause : uint8_t { kPeer, kReset, kIdle, kDrain, kUnwatched };

class Services {
 public:
  /// Sends bytes in order, after whatever the connection still owes.
  ///
  /// One attempt is made at once and the rest is copied. May close the connection (the peer reset
  /// it): the caller must not touch it afterwards.
  virtual void send(Connection* connection, const uint8_t* bytes, size_t size) = 0;

  /// Closes at once; bytes still owed are dropped. The record is free afterwards.
  virtual void close(Connection* connection, CloseCause cause) = 0;

  virtual Counters& counters() = 0;

 protected:
  ~Services() = default;
};

}  // namespace megacomet

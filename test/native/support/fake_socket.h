// The system calls of a Sender without sockets: the sent bytes are in strings.
#pragma once

#include <algorithm>
#include <map>
#include <string>

#include "connection/sender.h"

namespace unit {

using namespace megacomet;

class FakeSocket {
 public:
  [[nodiscard]] static Sender::Calls calls() { return {send, send_parts}; }

  static void reset() {
    sent.clear();
    room.clear();
    failed.clear();
    calls_made = 0;
  }

  /// The bytes that each descriptor has accepted.
  static inline std::map<int, std::string> sent;
  /// The number of bytes that a descriptor still accepts. One without an entry accepts all.
  static inline std::map<int, size_t> room;
  /// Descriptors whose peer has reset the connection.
  static inline std::map<int, bool> failed;
  static inline int calls_made = 0;

 private:
  static sys::IoResult send(int fd, const void* bytes, size_t size) {
    ++calls_made;
    if (failed[fd]) return {sys::IoStatus::kFailed, 0, 0};
    const size_t taken = take(fd, bytes, size);
    if (taken == 0 && size > 0) return {sys::IoStatus::kAgain, 0, 0};
    return {sys::IoStatus::kDone, taken, 0};
  }

  static sys::IoResult send_parts(int fd, iovec* parts, size_t count) {
    ++calls_made;
    if (failed[fd]) return {sys::IoStatus::kFailed, 0, 0};
    size_t taken = 0;
    for (size_t index = 0; index < count; ++index) {
      const size_t part = take(fd, parts[index].iov_base, parts[index].iov_len);
      taken += part;
      if (part < parts[index].iov_len) break;
    }
    return {taken == 0 ? sys::IoStatus::kAgain : sys::IoStatus::kDone, taken, 0};
  }

  static size_t take(int fd, const void* bytes, size_t size) {
    const auto found = room.find(fd);
    const size_t taken = found == room.end() ? size : std::min(size, found->second);
    if (found != room.end()) found->second -= taken;
    sent[fd].append(static_cast<const char*>(bytes), taken);
    return taken;
  }
};

}  // namespace unit

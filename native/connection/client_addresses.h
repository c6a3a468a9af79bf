// The addresses of clients that trusted proxies name, by descriptor. The server keeps them only
// where an application is asked about clients: 16 bytes for each connection behind a proxy.
#pragma once

#include <cstdint>

#include "base/ip_address.h"
#include "os/slab.h"

namespace megacomet {

class ClientAddresses {
 public:
  /// Keeps addresses from now on. False if the kernel rejects the address space.
  [[nodiscard]] bool reserve(uint32_t capacity) {
    is_on_ = true;
    return addresses_.map(capacity);
  }

  void set(int fd, const IpAddress& address) {
    if (!is_on_) return;
    forget(fd);
    if (address == kNone) return;
    *addresses_.occupy(fd) = address;
  }

  void forget(int fd) {
    if (find(fd) != nullptr) addresses_.release(fd);
  }

  /// Null if no proxy named one.
  [[nodiscard]] const IpAddress* find(int fd) {
    if (!is_on_) return nullptr;
    const IpAddress* address = addresses_.at(fd);
    return *address == kNone ? nullptr : address;
  }

  /// From a slow timer; see Slab::trim().
  void trim() {
    if (is_on_) addresses_.trim();
  }

 private:
  /// The unspecified address, which no client has (RFC 4291 2.5.2).
  static constexpr IpAddress kNone{};

  Slab<IpAddress> addresses_;
  bool is_on_ = false;
};

}  // namespace megacomet

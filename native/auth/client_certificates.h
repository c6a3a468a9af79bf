// The identities of client certificates: a connection has one for as long as it is open, beneath
// those of its requests' tokens. 12 bytes by descriptor, reserved only where clients have
// certificates.
#pragma once

#include <cstdint>
#include <string_view>

#include "auth/principals.h"
#include "base/client_certificate.h"
#include "os/slab.h"

namespace megacomet {

class ClientCertificates {
 public:
  explicit ClientCertificates(Principals* principals) : principals_(principals) {}
  ClientCertificates(const ClientCertificates&) = delete;
  ClientCertificates& operator=(const ClientCertificates&) = delete;
  ~ClientCertificates() = default;

  /// Reserves the records of descriptors below `capacity`. False if the kernel rejects.
  [[nodiscard]] bool reserve(uint32_t capacity) {
    is_on_ = records_.map(capacity);
    return is_on_;
  }

  /// A connection without a certificate gets one.
  void add(int fd, const ClientCertificate& certificate);
  /// The connection closes.
  void forget(int fd);

  /// Gives the connection the identity of its certificate, if it has one, in place of any other.
  void restore(int fd);
  /// Empty without a certificate.
  [[nodiscard]] std::string_view user(int fd);

 private:
  /// Free where all is zero.
  struct Record {
    /// The number of an identity of Principals, one of whose users this is.
    uint32_t identity;
    uint32_t issued_at_s;
    uint32_t ends_at_s;
  };

  Principals* principals_;
  Slab<Record> records_;
  bool is_on_ = false;
};

}  // namespace megacomet

// The certificate of a client, after its handshake.
#pragma once

#include <cstdint>
#include <string>

namespace megacomet {

struct ClientCertificate {
  /// The subject as text (RFC 4514): the user. Empty without a certificate.
  std::string subject;
  /// Its dates, seconds of the epoch.
  uint32_t begins_at_s = 0;
  uint32_t ends_at_s = 0;
};

}  // namespace megacomet

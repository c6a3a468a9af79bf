// A handshake of this process with itself, and data both ways. OpenSSL promises neither the lines
// with secrets nor the number of records that the record layer relies on.
#pragma once

#include <string>
#include <string_view>

#include "os/openssl.h"
#include "tls/context.h"

namespace megacomet {

/// Tries TLS 1.3 with a certificate and its key, both PEM. Returns "" or the reason why a worker
/// cannot serve it.
[[nodiscard]] std::string test_tls(const OpenSslTls& functions,
                                   std::string_view chain,
                                   std::string_view key,
                                   TlsSettings settings);

}  // namespace megacomet

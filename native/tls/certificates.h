// The certificates of a server, each with the hosts that it is for.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/ref.h"
#include "tls/context.h"

namespace megacomet {

class TlsCertificates final : ContextChooser, public Counted {
 public:
  explicit TlsCertificates(const OpenSslTls& functions) : openssl_(functions) {}

  /// Adds a certificate, the first for clients that name no known host. Returns "" or the reason
  /// why OpenSSL rejects it.
  [[nodiscard]] std::string add(std::string_view chain,
                                std::string_view key,
                                const TlsSettings& settings);

  /// A host of the certificate with that index: its name in lower case, or "*." and the rest of it.
  /// The first certificate of a name has it.
  void name(std::string_view host, size_t index) { hosts_.emplace(host, index); }

  [[nodiscard]] size_t size() const { return contexts_.size(); }

  /// The context with which a handshake begins. There must be one.
  [[nodiscard]] TlsContext* first() const { return contexts_.front().get(); }

  /// The context for a host. Null without one.
  [[nodiscard]] TlsContext* choose(std::string_view host) override;

 private:
  [[nodiscard]] TlsContext* find(const std::string& host) const;

  const OpenSslTls& openssl_;
  std::vector<std::unique_ptr<TlsContext>> contexts_;
  std::unordered_map<std::string, size_t> hosts_;
};

}  // namespace megacomet

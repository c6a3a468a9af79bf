// Choosing by name. See certificates.h.
#include "tls/certificates.h"

#include <algorithm>
#include <utility>

namespace megacomet {

std::string TlsCertificates::add(std::string_view chain,
                                 std::string_view key,
                                 const TlsSettings& settings) {
  auto context = std::make_unique<TlsContext>(openssl_, settings);
  if (!context->is_ready()) return "a name of the settings is unknown, or memory ran out";
  std::string reason = context->set_certificate(chain, key);
  if (!reason.empty()) return reason;
  if (contexts_.empty()) context->set_chooser(this);
  contexts_.push_back(std::move(context));
  return "";
}

TlsContext* TlsCertificates::choose(std::string_view host) {
  std::string name(host);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char letter) {
    return static_cast<char>(letter >= 'A' && letter <= 'Z' ? letter + ('a' - 'A') : letter);
  });
  if (TlsContext* exact = find(name)) return exact;
  // A wildcard is for one label (RFC 9525 6.3).
  const size_t dot = name.find('.');
  return dot == std::string::npos ? nullptr : find("*" + name.substr(dot));
}

TlsContext* TlsCertificates::find(const std::string& host) const {
  const auto found = hosts_.find(host);
  return found == hosts_.end() ? nullptr : contexts_[found->second].get();
}

}  // namespace megacomet

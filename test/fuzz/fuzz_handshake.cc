// Fuzz target for handshakes of TLS: bytes of a stranger in pieces of any size, at a server with
// certificates for two hosts. The first byte says whether TLS 1.2 is allowed, the second one is the
// size of the pieces. Uses the system's OpenSSL, as the fuzzer is not a process of Node.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <dlfcn.h>

#include "base/bounds.h"
#include "base/check.h"
#include "base/ref.h"
#include "tls/handshake.h"

using namespace megacomet;

namespace {

/// A certificate of this test alone.
constexpr std::string_view kChain =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBfjCCASWgAwIBAgIUfyyESB8fjo1w6zMr3VBi4Qo/1nQwCgYIKoZIzj0EAwIw\n"
    "FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEzMDE2MTQ0MFoYDzIxMjYxMTA2\n"
    "MTYxNDQwWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO\n"
    "PQMBBwNCAAQVGz9LlHGWYFaHjeIFVkyJyBzO24qhjS0KLOO/T/buqgmrHE/J9skb\n"
    "dJDQ/5X/xu29y8iM8SvscU13OpCF17Kdo1MwUTAdBgNVHQ4EFgQUzlkKrcrF13gd\n"
    "KK2PcW1HAwkpShUwHwYDVR0jBBgwFoAUzlkKrcrF13gdKK2PcW1HAwkpShUwDwYD\n"
    "VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiAjW81Ab7rMlAFi4lNMDzD/\n"
    "KmL0vTqOwhZqCjdSJ/zy6AIgZOLzp6KoOapiqf5h3mK8qDMRIU1gVrc3jFGu5wbK\n"
    "XTs=\n"
    "-----END CERTIFICATE-----\n";
constexpr std::string_view kKey =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgQ0tb4zsqH2W0pabT\n"
    "hVwAEJUhxDlW0uEppgnNoKwmEDqhRANCAAQVGz9LlHGWYFaHjeIFVkyJyBzO24qh\n"
    "jS0KLOO/T/buqgmrHE/J9skbdJDQ/5X/xu29y8iM8SvscU13OpCF17Kd\n"
    "-----END PRIVATE KEY-----\n";

/// Far more than a server answers to any one message.
constexpr size_t kAnswerBytesMax = size_t{64} * 1024;

const OpenSslTls& openssl() {
  static const bool kIsLoaded = [] {
    return ::dlopen("libcrypto.so.3", RTLD_NOW | RTLD_GLOBAL) != nullptr &&
           ::dlopen("libssl.so.3", RTLD_NOW | RTLD_GLOBAL) != nullptr;
  }();
  MC_CHECK(kIsLoaded && find_openssl_tls() != nullptr);
  return *find_openssl_tls();
}

Ref<TlsCertificates> make_certificates() {
  auto made = make_ref<TlsCertificates>(openssl());
  TlsSettings settings;
  settings.has_tls12 = true;
  for (const char* host : {"a.example", "*.b.example"}) {
    MC_CHECK(made->add(kChain, kKey, settings).empty());
    made->name(host, made->size() - 1);
  }
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  static const Ref<TlsCertificates> kCertificates = make_certificates();
  TlsHandshake handshake(kCertificates);
  MC_CHECK(handshake.is_ready());
  handshake.allow_tls12((data[0] & 1U) != 0);
  const size_t piece = 1 + size_t{data[1]} * 16;
  HandshakeStatus status = HandshakeStatus::kGoesOn;
  for (size_t at = 2; at < size && status == HandshakeStatus::kGoesOn; at += piece) {
    status = handshake.feed(data + at, std::min(piece, size - at));
    MC_CHECK(handshake.output().size() <= kAnswerBytesMax);
  }
  // It has no secret of the key exchange.
  MC_CHECK(status != HandshakeStatus::kDone);
  return 0;
}

// Tests of the self test: it passes, and notices what other builds of OpenSSL may do.
#include "tls/self_test.h"

#include <string>

#include "support/unit.h"
#include "tls/tls_client.h"

using namespace megacomet;

namespace {

/// With tickets, whose records come after the handshake.
std::string tested(const OpenSslTls& functions, TlsSettings settings = {}) {
  TicketKeys keys(functions);
  EXPECT(keys.set(test_ticket_keys()));
  settings.tickets = &keys;
  const TestCertificate& certificate = test_certificate();
  return test_tls(functions, certificate.chain, certificate.key, settings);
}

}  // namespace

TEST("the self test passes with each suite, and with a group that a client does not prefer") {
  const OpenSslTls& functions = *find_openssl_tls();
  EXPECT(tested(functions).empty());
  for (const char* suite :
       {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}) {
    TlsSettings settings;
    settings.has_tls12 = true;
    settings.groups = "P-384";
    settings.suites = suite;
    EXPECT(tested(functions, settings).empty());
  }
}

TEST("the self test fails where OpenSSL tells no secrets, or not its records") {
  OpenSslTls silent = *find_openssl_tls();
  silent.SSL_CTX_set_keylog_callback = [](SSL_CTX*, SSL_CTX_keylog_cb_func) {};
  EXPECT(tested(silent) == "OpenSSL does not tell its TLS secrets");
  OpenSslTls other = *find_openssl_tls();
  other.SSL_CTX_set_msg_callback = [](SSL_CTX*,
                                      void (*)(int, int, int, const void*, size_t, SSL*, void*)) {};
  EXPECT(tested(other) == "the TLS records of OpenSSL are unknown");
  const TestCertificate& certificate = test_certificate();
  EXPECT(!test_tls(*find_openssl_tls(), certificate.chain, "no key", {}).empty());
}

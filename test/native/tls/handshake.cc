// Tests of handshakes with OpenSSL's client, over memory.
#include "tls/handshake.h"

#include <string>

#include "support/unit.h"
#include "tls/tls_client.h"

using namespace megacomet;

namespace {

struct Server {
  Server() : layer(*find_openssl_tls()), certificates(test_certificates({true, "", "", ""})) {}

  bool shakes_hands(const TlsClient::Options& options) {
    TlsClient client(options);
    return shake_hands(certificates, &layer, &client).is_done;
  }

  RecordLayer layer;
  Ref<TlsCertificates> certificates;
};

}  // namespace

TEST("every function of OpenSSL that TLS needs is in this Node") {
  EXPECT_EQUAL(std::string(missing_openssl_tls_function()).size(), 0U);
}

TEST("a handshake leaves OpenSSL with the suite that was agreed") {
  Server server;
  EXPECT(server.shakes_hands({"TLS_AES_128_GCM_SHA256"}));
  EXPECT(server.shakes_hands({"TLS_AES_256_GCM_SHA384"}));
  EXPECT(server.shakes_hands({"TLS_CHACHA20_POLY1305_SHA256"}));
}

TEST("TLS 1.2 keeps its object, and TLS 1.1 is rejected") {
  Server server;
  EXPECT(!server.shakes_hands({"TLS_AES_128_GCM_SHA256", TLS1_2_VERSION}));
  EXPECT(!server.shakes_hands({"TLS_AES_128_GCM_SHA256", TLS1_1_VERSION}));
}

TEST("a client that offers protocols must offer HTTP/1.1") {
  Server server;
  const int version = TLS1_3_VERSION;
  const char* suite = "TLS_AES_128_GCM_SHA256";
  EXPECT(server.shakes_hands({suite, version, "\x08http/1.1"}));
  EXPECT(server.shakes_hands({suite, version, "\x02h2\x08http/1.1"}));
  EXPECT(!server.shakes_hands({suite, version, "\x02h2"}));
}

TEST("plain HTTP and random bytes fail with the first of them") {
  Server server;
  for (const std::string& bytes :
       {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(64, '\xff')}) {
    TlsHandshake handshake(server.certificates);
    EXPECT(handshake.feed(openssl_bytes(bytes), bytes.size()) == HandshakeStatus::kFailed);
  }
}

TEST("a certificate and a key that do not match are rejected with a reason") {
  TlsContext context(*find_openssl_tls(), {});
  const TestCertificate& certificate = test_certificate();
  EXPECT(!context.set_certificate(certificate.chain, "no key").empty());
  EXPECT(!context.set_certificate("no certificate", certificate.key).empty());
  EXPECT(context.set_certificate(certificate.chain, certificate.key).empty());
}

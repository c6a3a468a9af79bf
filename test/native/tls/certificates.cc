// Tests of choosing a certificate by the host that a client asks for, with OpenSSL's client.
#include "tls/certificates.h"

#include <string>

#include "support/unit.h"
#include "tls/handshake.h"
#include "tls/tls_client.h"

using namespace megacomet;

namespace {

constexpr const char* kSuite = "TLS_AES_128_GCM_SHA256";
constexpr const char* kHosts[] = {"first.example", "a.example", "*.b.example"};

/// Certificates of three hosts; `suffix` tells those of a reload apart.
Ref<TlsCertificates> make_certificates(const std::string& suffix = "") {
  auto made = make_ref<TlsCertificates>(*find_openssl_tls());
  for (const char* host : kHosts) {
    const TestCertificate certificate = make_test_certificate(host + suffix);
    EXPECT(made->add(certificate.chain, certificate.key, {true, "", "", ""}).empty());
    made->name(host, made->size() - 1);
  }
  return made;
}

TlsClient::Options asking_for(const std::string& host, std::string_view protocols = {}) {
  return {kSuite, TLS1_3_VERSION, protocols, host};
}

struct Server {
  Server() : layer(*find_openssl_tls()), certificates(make_certificates()) {}

  /// The host of the certificate that a client gets that asks for `host`.
  std::string shown_for(const std::string& host) {
    TlsClient client(asking_for(host));
    EXPECT(shake_hands(certificates, &layer, &client).is_done);
    return client.shown_host();
  }

  RecordLayer layer;
  Ref<TlsCertificates> certificates;
};

}  // namespace

TEST("a client gets the certificate of the host that it asks for, in any case") {
  Server server;
  EXPECT(server.shown_for("a.example") == "a.example");
  EXPECT(server.shown_for("A.EXAMPLE") == "a.example");
  EXPECT(server.shown_for("first.example") == "first.example");
}

TEST("a wildcard is for exactly one label") {
  Server server;
  EXPECT(server.shown_for("x.b.example") == "*.b.example");
  EXPECT(server.shown_for("X.B.example") == "*.b.example");
  EXPECT(server.shown_for("x.y.b.example") == "first.example");
  EXPECT(server.shown_for("b.example") == "first.example");
}

TEST("a client that asks for an unknown host, or for none, gets the first certificate") {
  Server server;
  EXPECT(server.shown_for("unknown.example") == "first.example");
  EXPECT(server.shown_for("example") == "first.example");
  EXPECT(server.shown_for("") == "first.example");
  EXPECT(server.shown_for("127.0.0.1") == "first.example");
}

TEST("of two certificates with one host the first is chosen") {
  Server server;
  server.certificates->name("a.example", 2);
  EXPECT(server.shown_for("a.example") == "a.example");
}

TEST("a handshake with a chosen certificate ends in records that both sides read") {
  Server server;
  for (const char* suite :
       {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}) {
    TlsClient client({suite, TLS1_3_VERSION, {}, "a.example"});
    Detached detached = shake_hands(server.certificates, &server.layer, &client, "to the server");
    EXPECT(detached.is_done && client.shown_host() == "a.example");
    auto* bytes = reinterpret_cast<uint8_t*>(detached.rest.data());
    const TlsInput input = server.layer.read(&detached.state, bytes, detached.rest.size(), 0);
    EXPECT_EQUAL(input.consumed, detached.rest.size());
    // With a wrong number of records after Finished the client cannot open it.
    std::string text = "to the client";
    std::string record(RecordLayer::sealed_bytes_max(text.size()), '\0');
    const iovec part{text.data(), text.size()};
    auto* out = reinterpret_cast<uint8_t*>(record.data());
    record.resize(server.layer.seal(&detached.state, &part, 1, out));
    client.receive(record);
    EXPECT(client.read() == text);
  }
}

TEST("the rules of protocols and versions hold with a chosen certificate too") {
  Server server;
  const auto shakes_hands = [&server](const TlsClient::Options& options) {
    TlsClient client(options);
    return shake_hands(server.certificates, &server.layer, &client).is_done;
  };
  EXPECT(shakes_hands(asking_for("a.example", "\x02h2\x08http/1.1")));
  EXPECT(!shakes_hands(asking_for("a.example", "\x02h2")));
  EXPECT(!shakes_hands({kSuite, TLS1_1_VERSION, {}, "a.example"}));
}

TEST(
    "a handshake that a reload interrupts ends with the old certificate, the next has the new "
    "one") {
  Server server;
  TlsClient client(asking_for("a.example"));
  client.shake();
  const std::string hello = client.sent();
  {
    TlsHandshake handshake(server.certificates);
    const size_t half = hello.size() / 2;
    EXPECT(handshake.feed(openssl_bytes(hello), half) == HandshakeStatus::kGoesOn);
    server.certificates = make_certificates(".new");
    const uint8_t* rest = openssl_bytes(hello) + half;
    EXPECT(handshake.feed(rest, hello.size() - half) == HandshakeStatus::kGoesOn);
    client.receive(handshake.output());
    EXPECT(client.shake() && client.shown_host() == "a.example");
    const std::string finished = client.sent();
    EXPECT(handshake.feed(openssl_bytes(finished), finished.size()) == HandshakeStatus::kDone);
  }
  EXPECT(server.shown_for("a.example") == "a.example.new");
}

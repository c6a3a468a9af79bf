// Tests of a client's handshakes and records, with the server's part of this project over memory.
#include <algorithm>
#include <string>

#include "support/unit.h"
#include "tls/client_context.h"
#include "tls/client_functions.h"
#include "tls/handshake.h"
#include "tls/tls_client.h"

using namespace megacomet;

namespace {

/// Both ends of a connection.
struct Pair {
  explicit Pair(const TlsSettings& settings = {})
      : layer(*find_openssl_tls()),
        certificates(test_certificates(settings)),
        context(*find_openssl_tls()) {}

  /// Does the handshake in pieces of `piece` bytes. False unless both ends left OpenSSL.
  bool shakes_hands(const TlsServerName& name, size_t piece = 100'000) {
    TlsHandshake client_part(&context, name);
    TlsHandshake server_part(certificates);
    HandshakeStatus at_client = client_part.begin();
    HandshakeStatus at_server = HandshakeStatus::kGoesOn;
    for (int round = 0; round < 4; ++round) {
      at_server = feed(&server_part, at_server, client_part.output(), piece, &server_rest);
      at_client = feed(&client_part, at_client, server_part.output(), piece, &client_rest);
    }
    failure = client_part.failure();
    return at_client == HandshakeStatus::kDone && at_server == HandshakeStatus::kDone &&
           client_part.detach(&layer, &client) && server_part.detach(&layer, &server);
  }

  static HandshakeStatus feed(TlsHandshake* part,
                              HandshakeStatus status,
                              const std::string& bytes,
                              size_t piece,
                              std::string* rest) {
    for (size_t at = 0; at < bytes.size(); at += piece) {
      const size_t size = std::min(piece, bytes.size() - at);
      if (status == HandshakeStatus::kDone) {
        rest->append(bytes, at, size);
        continue;
      }
      if (status == HandshakeStatus::kFailed) return status;
      status = part->feed(openssl_bytes(bytes) + at, size);
      if (status == HandshakeStatus::kDone) *rest = part->rest();
    }
    return status;
  }

  std::string seal(TlsState* state, std::string text) {
    std::string out(RecordLayer::sealed_bytes_max(text.size()), '\0');
    const iovec part{text.data(), text.size()};
    out.resize(layer.seal(state, &part, 1, reinterpret_cast<uint8_t*>(out.data())));
    return out;
  }

  std::string open(TlsState* state, std::string bytes) {
    const TlsInput input =
        layer.read(state, reinterpret_cast<uint8_t*>(bytes.data()), bytes.size(), 0);
    EXPECT_EQUAL(input.consumed, bytes.size());
    EXPECT(input.end == TlsEnd::kNone);
    return bytes.substr(0, input.data_bytes);
  }

  RecordLayer layer;
  Ref<TlsCertificates> certificates;
  TlsClientContext context;
  TlsState client{};
  TlsState server{};
  /// Bytes that came with the other end's last message.
  std::string client_rest;
  std::string server_rest;
  TlsFailure failure;
};

TlsClientSettings insecure() {
  return {false, {}, {}};
}

}  // namespace

TEST("a client leaves OpenSSL with each suite, and both ends understand each other") {
  for (const char* suite :
       {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}) {
    for (const size_t piece : {1U, 7U, 100'000U}) {
      Pair pair({false, "", "", suite});
      EXPECT(pair.context.configure(insecure()).empty());
      if (!EXPECT(pair.shakes_hands({"localhost", true}, piece))) return;
      EXPECT(pair.client.is_client);
      EXPECT(!pair.server.is_client);
      // A session ticket, which the client skips.
      EXPECT_EQUAL(pair.open(&pair.client, pair.client_rest).size(), 0U);
      for (int round = 0; round < 3; ++round) {
        EXPECT(pair.open(&pair.server, pair.seal(&pair.client, "to the server")) ==
               "to the server");
        EXPECT(pair.open(&pair.client, pair.seal(&pair.server, "to the client")) ==
               "to the client");
      }
    }
  }
}

TEST("a server changes its keys, and asks for new keys of the client") {
  Pair pair;
  EXPECT(pair.context.configure(insecure()).empty());
  if (!EXPECT(pair.shakes_hands({"localhost", true}))) return;
  pair.open(&pair.client, pair.client_rest);
  const TlsSecret before = pair.client.read_secret;
  pair.server.owes_update = true;
  EXPECT(pair.open(&pair.client, pair.seal(&pair.server, "new keys")) == "new keys");
  EXPECT(pair.client.read_secret != before);
  pair.client.owes_update = true;
  EXPECT(pair.open(&pair.server, pair.seal(&pair.client, "new keys too")) == "new keys too");
  EXPECT(pair.open(&pair.client, pair.seal(&pair.server, "go on")) == "go on");
}

TEST("a server rejects a session ticket, which a client skips") {
  Pair pair;
  EXPECT(pair.context.configure(insecure()).empty());
  if (!EXPECT(pair.shakes_hands({"localhost", true}))) return;
  EXPECT(pair.client_rest.size() > 100);
  // The same ticket as a client's message: the server reads it with the client's secret.
  TlsState state = pair.server;
  state.read_secret = pair.client.read_secret;
  state.read_number = 0;
  std::string bytes = pair.client_rest;
  const TlsInput input =
      pair.layer.read(&state, reinterpret_cast<uint8_t*>(bytes.data()), bytes.size(), 0);
  EXPECT(input.end == TlsEnd::kBroken);
  EXPECT(input.alert == TlsAlert::kUnexpectedMessage);
}

TEST("a client verifies the certificate and its name, or gives a reason") {
  const std::string& authority = test_certificate().chain;
  {
    Pair pair;
    EXPECT(pair.context.configure({true, authority, {}}).empty());
    EXPECT(pair.shakes_hands({"localhost", true}));
  }
  {
    Pair pair;
    EXPECT(pair.context.configure({true, authority, {}}).empty());
    EXPECT(!pair.shakes_hands({"example.com", true}));
    EXPECT(pair.failure.is_verification);
    EXPECT(std::string(pair.failure.text) == "hostname mismatch");
  }
  {
    Pair pair;
    EXPECT(pair.context.configure({true, authority, {}}).empty());
    EXPECT(!pair.shakes_hands({"127.0.0.1", false}));
    EXPECT(std::string(pair.failure.text) == "IP address mismatch");
  }
  {
    Pair pair;
    EXPECT(pair.context.configure({true, {}, {}}).empty());
    EXPECT(!pair.shakes_hands({"localhost", true}));
    EXPECT(pair.failure.is_verification);
    EXPECT_EQUAL(pair.failure.code, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT);
  }
}

TEST("a client says why a server that does not speak TLS 1.3 failed") {
  for (const std::string& bytes :
       {std::string("HTTP/1.1 400 Bad Request\r\n\r\n"), std::string(64, '\xff')}) {
    Pair pair;
    EXPECT(pair.context.configure(insecure()).empty());
    TlsHandshake part(&pair.context, {"localhost", true});
    EXPECT(part.begin() == HandshakeStatus::kGoesOn);
    EXPECT(part.feed(openssl_bytes(bytes), bytes.size()) == HandshakeStatus::kFailed);
    EXPECT(!part.failure().is_verification);
    EXPECT(std::string(part.failure().text) == "wrong version number");
  }
}

TEST("authorities that are not PEM are rejected with a reason") {
  Pair pair;
  EXPECT(!pair.context.configure({true, "no certificate", {}}).empty());
  Pair other;
  EXPECT(!other.context.configure({false, {}, "no session"}).empty());
}

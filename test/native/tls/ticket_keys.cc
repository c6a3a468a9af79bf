// Tests of session tickets with OpenSSL's client, over memory.
#include "tls/ticket_keys.h"

#include <array>
#include <memory>
#include <string>

#include "support/unit.h"
#include "tls/client_functions.h"
#include "tls/handshake.h"
#include "tls/tls_client.h"

using namespace megacomet;

namespace {

using Numbers3 = std::array<uint8_t, 3>;

/// A worker: its keys, and certificates of its own.
struct Server {
  explicit Server(const Numbers3& numbers = {1, 0, 2})
      : layer(*find_openssl_tls()), keys(*find_openssl_tls()) {
    EXPECT(keys.set(test_ticket_keys(numbers)));
    reload();
  }

  void reload() { certificates = test_certificates({true, "", "", "", "", &keys}); }

  RecordLayer layer;
  TicketKeys keys;
  Ref<TlsCertificates> certificates;
};

struct Visit {
  bool is_done;
  bool is_resumed;
  TestSession session;
};

std::string seal(Server* server, TlsState* state, std::string text) {
  std::string record(RecordLayer::sealed_bytes_max(text.size()), '\0');
  const iovec part{text.data(), text.size()};
  auto* out = reinterpret_cast<uint8_t*>(record.data());
  record.resize(server->layer.seal(state, &part, 1, out));
  return record;
}

/// One connection: handshake, and data in both directions.
Visit visit(Server* server, const TestSession* session, const TlsClient::Options& options = {}) {
  TlsClient client(options);
  if (session != nullptr) client.resume(*session);
  Detached detached = shake_hands(server->certificates, &server->layer, &client, "question");
  if (!detached.is_done) return {false, false, client.session()};
  auto* bytes = reinterpret_cast<uint8_t*>(detached.rest.data());
  const TlsInput input = server->layer.read(&detached.state, bytes, detached.rest.size(), 0);
  EXPECT_EQUAL(input.consumed, detached.rest.size());
  // Only with the right number of records before it the client opens it.
  client.receive(seal(server, &detached.state, "answer"));
  EXPECT(client.read() == "answer");
  // OpenSSL forgets the session of a connection that ends without it.
  client.shut_down();
  return {true, detached.is_resumed, client.session()};
}

Visit first_visit(Server* server) {
  Visit visited = visit(server, nullptr);
  EXPECT(visited.is_done && !visited.is_resumed);
  return visited;
}

bool is_resumed(Server* server, const TestSession& session) {
  const Visit visited = visit(server, &session);
  return EXPECT(visited.is_done) && visited.is_resumed;
}

/// The bytes of the ticket itself: name, initialization vector, sealed session, MAC.
std::pair<uint8_t*, size_t> ticket_of(const TestSession& session) {
  const unsigned char* bytes = nullptr;
  size_t size = 0;
  client_functions().SSL_SESSION_get0_ticket(session.get(), &bytes, &size);
  return {const_cast<uint8_t*>(bytes), size};
}

}  // namespace

TEST("a client resumes at the same worker, at another and after a reload") {
  Server server;
  Server other;
  const Visit visited = first_visit(&server);
  EXPECT(is_resumed(&server, visited.session));
  EXPECT(is_resumed(&other, visited.session));
  server.reload();
  EXPECT(is_resumed(&server, visited.session));
}

TEST("a resumed connection counts its records in every suite, and gets the next ticket") {
  Server server;
  for (const char* suite :
       {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}) {
    const TlsClient::Options options{suite};
    Visit visited = visit(&server, nullptr, options);
    EXPECT(!visited.is_resumed);
    for (int round = 0; round < 3; ++round) {
      const std::string used(reinterpret_cast<char*>(ticket_of(visited.session).first),
                             ticket_of(visited.session).second);
      visited = visit(&server, &visited.session, options);
      EXPECT(visited.is_done && visited.is_resumed);
      const auto [bytes, size] = ticket_of(visited.session);
      EXPECT(size > 0 && std::string(reinterpret_cast<char*>(bytes), size) != used);
    }
  }
}

TEST("a client resumes with the key before the present one, and with the next") {
  Server server({1, 0, 2});
  const Visit visited = first_visit(&server);
  Server rotated({2, 1, 3});
  EXPECT(is_resumed(&rotated, visited.session));
  const Visit later = first_visit(&rotated);
  EXPECT(is_resumed(&server, later.session));
  EXPECT(server.keys.set(test_ticket_keys({2, 1, 3})));
  EXPECT(is_resumed(&server, visited.session));
}

TEST("after two rotations a ticket gives a full handshake, and a new ticket") {
  Server server;
  const Visit visited = first_visit(&server);
  EXPECT(server.keys.set(test_ticket_keys({3, 2, 4})));
  const Visit again = visit(&server, &visited.session);
  EXPECT(again.is_done && !again.is_resumed);
  EXPECT(is_resumed(&server, again.session));
}

TEST("a forged ticket gives a full handshake, whichever byte was altered") {
  Server server;
  const Visit visited = first_visit(&server);
  const auto [bytes, size] = ticket_of(visited.session);
  if (!EXPECT(size > 64)) return;
  for (size_t at = 0; at < size; at += 7) {
    bytes[at] ^= 1;
    EXPECT(!is_resumed(&server, visited.session));
    bytes[at] ^= 1;
  }
  EXPECT(is_resumed(&server, visited.session));
}

TEST("a ticket of a key with the same name but other secrets gives a full handshake") {
  Server server;
  Server other;
  std::string keys = test_ticket_keys();
  keys[16] = static_cast<char>(keys[16] ^ 1);
  keys[48] = static_cast<char>(keys[48] ^ 1);
  EXPECT(other.keys.set(keys));
  const Visit visited = first_visit(&server);
  EXPECT(!is_resumed(&other, visited.session));
}

TEST("a client resumes with another host name, and keeps the rules of protocols") {
  Server server;
  const Visit visited = first_visit(&server);
  TlsClient::Options options;
  options.host = "other.example";
  EXPECT(visit(&server, &visited.session, options).is_resumed);
  options.protocols = "\x02h2";
  EXPECT(!visit(&server, &visited.session, options).is_done);
}

TEST("without keys no client gets a ticket, and one of another server gives a full handshake") {
  Server server;
  const Visit visited = first_visit(&server);
  server.certificates = make_ref<TlsCertificates>(*find_openssl_tls());
  const TestCertificate& certificate = test_certificate();
  EXPECT(server.certificates->add(certificate.chain, certificate.key, {}).empty());
  const Visit again = visit(&server, &visited.session);
  EXPECT(again.is_done && !again.is_resumed);
  EXPECT_EQUAL(ticket_of(again.session).second, 0U);
}

TEST("a ticket does not replace the certificate that a client needs") {
  Server server;
  const Visit visited = first_visit(&server);
  server.certificates =
      test_certificates({true, "", "", "", test_certificate().chain, &server.keys});
  EXPECT(!visit(&server, &visited.session).is_done);
  TlsClient::Options options;
  options.version_max = TLS1_2_VERSION;
  EXPECT(!visit(&server, nullptr, options).is_done);
}

TEST("keys of a wrong length are rejected, and the old ones stay") {
  Server server;
  const Visit visited = first_visit(&server);
  EXPECT(!server.keys.set(""));
  EXPECT(!server.keys.set(test_ticket_keys() + "x"));
  EXPECT(is_resumed(&server, visited.session));
}

// OpenSSL's client against the record layer, over memory. See self_test.h.
#include "tls/self_test.h"

#include <algorithm>
#include <array>

#include "base/ref.h"
#include "tls/tls_records.h"

namespace megacomet {

namespace {

/// A client of TLS 1.3 needs two steps.
constexpr int kRoundsMax = 4;
constexpr std::string_view kRequest = "request";
constexpr std::string_view kAnswer = "answer";

class Client {
 public:
  Client(const OpenSslTls& functions, const TlsSettings& settings) : openssl_(functions) {
    context_ = openssl_.SSL_CTX_new(openssl_.TLS_client_method());
    if (context_ == nullptr) return;
    std::string groups = settings.groups;
    openssl_.SSL_CTX_ctrl(context_, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_3_VERSION, nullptr);
    if (!groups.empty()) {
      openssl_.SSL_CTX_ctrl(context_, SSL_CTRL_SET_GROUPS_LIST, 0, groups.data());
    }
    session_.reset(openssl_.SSL_new(context_));
    if (session_ == nullptr) return;
    input_ = openssl_.BIO_new(openssl_.BIO_s_mem());
    output_ = openssl_.BIO_new(openssl_.BIO_s_mem());
    openssl_.SSL_set_bio(session_.get(), input_, output_);
    openssl_.SSL_set_connect_state(session_.get());
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() {
    session_.reset();
    openssl_.SSL_CTX_free(context_);
    openssl_.ERR_clear_error();
  }

  [[nodiscard]] bool is_ready() const { return input_ != nullptr && output_ != nullptr; }

  /// Takes a step of the handshake, and sends the request when it is done. Returns the bytes for
  /// the server.
  [[nodiscard]] std::string step() {
    if (openssl_.SSL_do_handshake(session_.get()) == 1) {
      openssl_.SSL_write(session_.get(), kRequest.data(), static_cast<int>(kRequest.size()));
    }
    std::array<char, 4096> bytes;
    const int size = openssl_.BIO_read(output_, bytes.data(), bytes.size());
    return {bytes.data(), static_cast<size_t>(std::max(size, 0))};
  }

  void receive(std::string_view bytes) {
    openssl_.BIO_write(input_, bytes.data(), static_cast<int>(bytes.size()));
  }

  [[nodiscard]] std::string read() {
    std::array<char, 64> data;
    const int size = openssl_.SSL_read(session_.get(), data.data(), data.size());
    return {data.data(), static_cast<size_t>(std::max(size, 0))};
  }

 private:
  const OpenSslTls& openssl_;
  SSL_CTX* context_ = nullptr;
  SslOwner session_;
  // The session owns them.
  BIO* input_ = nullptr;
  BIO* output_ = nullptr;
};

/// The bytes after the handshake; false if there was none.
bool shake_hands(TlsHandshake* handshake, Client* client, std::string* rest) {
  for (int round = 0; round < kRoundsMax; ++round) {
    const std::string bytes = client->step();
    const HandshakeStatus status = handshake->feed(openssl_bytes(bytes), bytes.size());
    client->receive(handshake->output());
    if (status == HandshakeStatus::kGoesOn) continue;
    *rest = handshake->rest();
    return status == HandshakeStatus::kDone;
  }
  return false;
}

}  // namespace

std::string test_tls(const OpenSslTls& functions,
                     std::string_view chain,
                     std::string_view key,
                     TlsSettings settings) {
  settings.has_tls12 = false;
  settings.client_ca.clear();
  const auto certificates = make_ref<TlsCertificates>(functions);
  std::string reason = certificates->add(chain, key, settings);
  if (!reason.empty()) return reason;
  TlsRecords records(functions);
  TlsHandshake handshake(certificates);
  Client client(functions, settings);
  if (!records.is_ready() || !handshake.is_ready() || !client.is_ready())
    return "no memory for TLS";
  std::string rest;
  TlsState state{};
  SslOwner session;
  if (!shake_hands(&handshake, &client, &rest))
    return "a TLS handshake of the worker itself failed";
  if (!records.begin(&handshake, &state, &session)) return "OpenSSL does not tell its TLS secrets";

  auto* bytes = reinterpret_cast<uint8_t*>(rest.data());
  const TlsInput input = records.read(&state, nullptr, bytes, rest.size(), 0);
  const bool is_read = std::string_view(rest).substr(0, input.data_bytes) == kRequest;
  // A KeyUpdate goes out before the answer, so that the keys after it are tried as well.
  state.owes_update = true;
  std::array<uint8_t, RecordLayer::sealed_bytes_max(kAnswer.size())> sealed;
  const iovec part{const_cast<char*>(kAnswer.data()), kAnswer.size()};
  const size_t size = records.seal(&state, nullptr, &part, 1, sealed.data());
  client.receive({reinterpret_cast<const char*>(sealed.data()), size});
  records.forget(&state);
  return is_read && client.read() == kAnswer ? "" : "the TLS records of OpenSSL are unknown";
}

}  // namespace megacomet

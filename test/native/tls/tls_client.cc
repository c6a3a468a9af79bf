// See tls_client.h.
#include "tls/tls_client.h"

#include <algorithm>

#include "support/unit.h"
#include "tls/client_functions.h"

using namespace megacomet;

namespace {

const OpenSslTls& openssl() {
  return *find_openssl_tls();
}

std::string drain(BIO* memory) {
  std::string bytes;
  char piece[4096];
  for (int size = 1; size > 0;) {
    size = openssl().BIO_read(memory, piece, sizeof piece);
    if (size > 0) bytes.append(piece, static_cast<size_t>(size));
  }
  return bytes;
}

}  // namespace

TestCertificate make_test_certificate(const std::string& host) {
  const ClientFunctions& make = client_functions();
  EVP_PKEY* key = make.EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256");
  X509* certificate = make.X509_new();
  make.ASN1_INTEGER_set(make.X509_get_serialNumber(certificate), 1);
  make.X509_gmtime_adj(make.X509_getm_notBefore(certificate), -3600);
  make.X509_gmtime_adj(make.X509_getm_notAfter(certificate), 86'400);
  make.X509_set_pubkey(certificate, key);
  X509_NAME* name = make.X509_get_subject_name(certificate);
  const uint8_t* text_of_host = openssl_bytes(host);
  make.X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, text_of_host, -1, -1, 0);
  make.X509_set_issuer_name(certificate, name);
  make.X509_sign(certificate, key, find_openssl()->EVP_sha256());
  BIO* text = openssl().BIO_new(openssl().BIO_s_mem());
  make.PEM_write_bio_X509(text, certificate);
  TestCertificate made;
  made.chain = drain(text);
  make.PEM_write_bio_PrivateKey(text, key, nullptr, nullptr, 0, nullptr, nullptr);
  made.key = drain(text);
  openssl().BIO_free(text);
  openssl().X509_free(certificate);
  openssl().EVP_PKEY_free(key);
  return made;
}

const TestCertificate& test_certificate() {
  static const TestCertificate kMade = make_test_certificate("localhost");
  return kMade;
}

TlsClient::TlsClient(const Options& options)
    : context_(openssl().SSL_CTX_new(client_functions().TLS_client_method())) {
  openssl().SSL_CTX_ctrl(context_, SSL_CTRL_SET_MAX_PROTO_VERSION, options.version_max, nullptr);
  client_functions().SSL_CTX_set_ciphersuites(context_, options.suites);
  if (options.record_bytes_max == 512) {
    client_functions().SSL_CTX_set_tlsext_max_fragment_length(context_,
                                                              TLSEXT_max_fragment_length_512);
  }
  session_ = openssl().SSL_new(context_);
  input_ = openssl().BIO_new(openssl().BIO_s_mem());
  output_ = openssl().BIO_new(openssl().BIO_s_mem());
  openssl().SSL_set_bio(session_, input_, output_);
  client_functions().SSL_set_connect_state(session_);
  if (!options.host.empty()) {
    std::string host = options.host;
    openssl().SSL_ctrl(
        session_, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, host.data());
  }
  if (options.protocols.empty()) return;
  client_functions().SSL_set_alpn_protos(session_,
                                         openssl_bytes(options.protocols),
                                         static_cast<unsigned int>(options.protocols.size()));
}

TlsClient::~TlsClient() {
  openssl().SSL_free(session_);
  openssl().SSL_CTX_free(context_);
}

void TlsClient::receive(std::string_view bytes) {
  openssl().BIO_write(input_, bytes.data(), static_cast<int>(bytes.size()));
}

bool TlsClient::shake() {
  return openssl().SSL_do_handshake(session_) == 1;
}

std::string TlsClient::sent() {
  return drain(output_);
}

void TlsClient::write(std::string_view data) {
  EXPECT_EQUAL(openssl().SSL_write(session_, data.data(), static_cast<int>(data.size())),
               static_cast<int>(data.size()));
}

std::string TlsClient::read() {
  std::string data;
  char piece[20'000];
  for (int size = 1; size > 0;) {
    size = openssl().SSL_read(session_, piece, sizeof piece);
    if (size > 0) data.append(piece, static_cast<size_t>(size));
  }
  return data;
}

void TlsClient::update_keys(bool is_requested) {
  const int type = is_requested ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED;
  EXPECT_EQUAL(client_functions().SSL_key_update(session_, type), 1);
  openssl().SSL_do_handshake(session_);
}

void TlsClient::renegotiate() {
  EXPECT_EQUAL(client_functions().SSL_renegotiate(session_), 1);
  openssl().SSL_do_handshake(session_);
}

void TlsClient::shut_down() {
  openssl().SSL_shutdown(session_);
}

bool TlsClient::has_close_notify() const {
  return (openssl().SSL_get_shutdown(session_) & SSL_RECEIVED_SHUTDOWN) != 0;
}

TestSession TlsClient::session() const {
  return {client_functions().SSL_get1_session(session_), client_functions().SSL_SESSION_free};
}

void TlsClient::resume(const TestSession& session) {
  EXPECT_EQUAL(client_functions().SSL_set_session(session_, session.get()), 1);
}

std::string TlsClient::shown_host() const {
  X509* certificate = client_functions().SSL_get1_peer_certificate(session_);
  if (certificate == nullptr) return "";
  char text[256] = {};
  client_functions().X509_NAME_oneline(
      client_functions().X509_get_subject_name(certificate), text, sizeof text);
  openssl().X509_free(certificate);
  return std::string(text).substr(std::string_view("/CN=").size());
}

std::string test_ticket_keys(const std::array<uint8_t, 3>& numbers) {
  std::string keys;
  for (const uint8_t number : numbers) keys.append(sizeof(TicketKey), static_cast<char>(number));
  return keys;
}

Ref<TlsCertificates> test_certificates(const TlsSettings& given) {
  static TicketKeys keys(*find_openssl_tls());
  EXPECT(keys.set(test_ticket_keys()));
  TlsSettings settings = given;
  if (settings.tickets == nullptr) settings.tickets = &keys;
  const TestCertificate& certificate = test_certificate();
  auto certificates = make_ref<TlsCertificates>(*find_openssl_tls());
  EXPECT(certificates->add(certificate.chain, certificate.key, settings).empty());
  return certificates;
}

Detached shake_hands(const Ref<TlsCertificates>& certificates,
                     RecordLayer* layer,
                     TlsClient* client,
                     std::string_view early,
                     size_t piece) {
  Detached detached;
  TlsHandshake handshake(certificates);
  for (int round = 0; round < 8; ++round) {
    if (client->shake() && !early.empty()) {
      client->write(early);
      early = {};
    }
    std::string bytes = client->sent();
    HandshakeStatus status = HandshakeStatus::kGoesOn;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      const size_t size = std::min(piece, bytes.size() - at);
      if (status == HandshakeStatus::kDone) {
        detached.rest.append(bytes, at, size);
        continue;
      }
      status = handshake.feed(openssl_bytes(bytes) + at, size);
      if (status == HandshakeStatus::kDone) detached.rest = handshake.rest();
    }
    client->receive(handshake.output());
    if (status == HandshakeStatus::kFailed) return detached;
    if (status != HandshakeStatus::kDone) continue;
    detached.is_resumed = handshake.is_resumed();
    detached.is_done = handshake.detach(layer, &detached.state);
    return detached;
  }
  return detached;
}

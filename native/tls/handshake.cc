// Driving OpenSSL and leaving it. See handshake.h.
#include "tls/handshake.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include "base/bounds.h"

namespace megacomet {

namespace {

constexpr std::string_view kClientLabel = "CLIENT_TRAFFIC_SECRET_0 ";
constexpr std::string_view kServerLabel = "SERVER_TRAFFIC_SECRET_0 ";

int digit_of(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

/// Reads hexadecimal digits; returns the number of bytes, 0 if it is not a secret.
size_t read_secret(std::string_view digits, TlsSecret* secret) {
  if (digits.size() % 2 != 0 || digits.size() / 2 > secret->size()) return 0;
  for (size_t at = 0; at < digits.size(); at += 2) {
    const int high = digit_of(digits[at]);
    const int low = digit_of(digits[at + 1]);
    if (high < 0 || low < 0) return 0;
    (*secret)[at / 2] = static_cast<uint8_t>(high * 16 + low);
  }
  return digits.size() / 2;
}

/// RFC 4514, as UTF-8.
constexpr unsigned long kSubjectFlags = XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB;

/// Seconds of the epoch, as far as they can be kept.
uint32_t seconds_of(const OpenSslTls& openssl, const ASN1_TIME* time) {
  tm parts{};
  if (openssl.ASN1_TIME_to_tm(time, &parts) != 1) return 0;
  const int64_t seconds = timegm(&parts);
  return static_cast<uint32_t>(std::clamp<int64_t>(seconds, 0, UINT32_MAX - 1));
}

/// The suite of a finished handshake; kNone if the record layer does not know it.
TlsSuite suite_of(const OpenSslTls& openssl, const SSL* session) {
  const SSL_CIPHER* cipher = openssl.SSL_get_current_cipher(session);
  if (cipher == nullptr) return TlsSuite::kNone;
  const unsigned number = openssl.SSL_CIPHER_get_protocol_id(cipher);
  const bool is_known = number > 0x1300 && number <= 0x1300 + kTlsSuites;
  return is_known ? static_cast<TlsSuite>(number & 0xffU) : TlsSuite::kNone;
}

}  // namespace

TlsHandshake::TlsHandshake(Ref<TlsCertificates> certificates)
    : openssl_(certificates->first()->functions()),
      certificates_(std::move(certificates)),
      session_(certificates_->first()->make_server(this)) {
  make_memory();
}

TlsHandshake::TlsHandshake(TlsClientContext* context, const TlsServerName& server)
    : openssl_(context->functions()), session_(context->make_client(this, server)) {
  make_memory();
}

void TlsHandshake::make_memory() {
  if (session_ == nullptr) return;
  input_ = openssl_.BIO_new(openssl_.BIO_s_mem());
  output_ = openssl_.BIO_new(openssl_.BIO_s_mem());
  if (input_ != nullptr && output_ != nullptr) {
    openssl_.SSL_set_bio(session_, input_, output_);
    return;
  }
  openssl_.BIO_free(input_);
  openssl_.BIO_free(output_);
  openssl_.SSL_free(session_);
  session_ = nullptr;
}

TlsHandshake::~TlsHandshake() {
  openssl_.SSL_free(session_);
  openssl_.OPENSSL_cleanse(client_secret_.data(), client_secret_.size());
  openssl_.OPENSSL_cleanse(server_secret_.data(), server_secret_.size());
}

void TlsHandshake::allow_tls12(bool is_allowed) {
  const int version_min = is_allowed ? TLS1_2_VERSION : TLS1_3_VERSION;
  openssl_.SSL_ctrl(session_, SSL_CTRL_SET_MIN_PROTO_VERSION, version_min, nullptr);
}

bool TlsHandshake::is_tls12() const {
  return openssl_.SSL_version(session_) == TLS1_2_VERSION;
}

SslOwner TlsHandshake::leave() {
  TlsContext::leave(session_);
  return SslOwner(std::exchange(session_, nullptr));
}

HandshakeStatus TlsHandshake::feed(const uint8_t* bytes, size_t size) {
  fed_bytes_ += size;
  if (fed_bytes_ > bounds::kTlsHandshakeBytesMax + bounds::kReadBytesMax) {
    return HandshakeStatus::kFailed;
  }
  if (openssl_.BIO_write(input_, bytes, static_cast<int>(size)) != static_cast<int>(size)) {
    return HandshakeStatus::kFailed;
  }
  return advance();
}

HandshakeStatus TlsHandshake::advance() {
  openssl_.ERR_clear_error();
  const int result = openssl_.SSL_do_handshake(session_);
  if (result == 1) return HandshakeStatus::kDone;
  const bool goes_on = openssl_.SSL_get_error(session_, result) == SSL_ERROR_WANT_READ;
  error_ = openssl_.ERR_get_error();
  const int reason = ERR_GET_REASON(error_);
  is_version_rejected_ =
      !goes_on && (reason == SSL_R_UNSUPPORTED_PROTOCOL || reason == SSL_R_VERSION_TOO_LOW);
  openssl_.ERR_clear_error();
  return goes_on ? HandshakeStatus::kGoesOn : HandshakeStatus::kFailed;
}

TlsFailure TlsHandshake::failure() const {
  TlsFailure failure;
  if (error_ == 0) return failure;
  failure.code = ERR_GET_REASON(error_);
  const bool is_tls = ERR_GET_LIB(error_) == ERR_LIB_SSL;
  failure.is_verification = is_tls && failure.code == SSL_R_CERTIFICATE_VERIFY_FAILED;
  if (failure.is_verification) {
    const long result = openssl_.SSL_get_verify_result(session_);
    failure.code = static_cast<int>(result);
    failure.text = openssl_.X509_verify_cert_error_string(result);
  } else if (const char* text = openssl_.ERR_reason_error_string(error_)) {
    failure.text = text;
  }
  return failure;
}

std::string TlsHandshake::output() {
  return drain(output_);
}

std::string TlsHandshake::rest() {
  return drain(input_);
}

std::string TlsHandshake::drain(BIO* memory) {
  const long pending = openssl_.BIO_ctrl(memory, BIO_CTRL_PENDING, 0, nullptr);
  std::string bytes(static_cast<size_t>(std::max(pending, 0L)), '\0');
  if (bytes.empty()) return bytes;
  const int read = openssl_.BIO_read(memory, bytes.data(), static_cast<int>(bytes.size()));
  bytes.resize(static_cast<size_t>(std::max(read, 0)));
  return bytes;
}

void TlsHandshake::take_key(std::string_view line) {
  const bool is_client = line.substr(0, kClientLabel.size()) == kClientLabel;
  const bool is_server = line.substr(0, kServerLabel.size()) == kServerLabel;
  if (!is_client && !is_server) return;
  const std::string_view digits = line.substr(line.rfind(' ') + 1);
  if (is_client) client_secret_bytes_ = read_secret(digits, &client_secret_);
  if (is_server) server_secret_bytes_ = read_secret(digits, &server_secret_);
}

ClientCertificate TlsHandshake::client_certificate() {
  X509* found = openssl_.SSL_get1_peer_certificate(session_);
  if (found == nullptr) return {};
  ClientCertificate certificate;
  certificate.begins_at_s = seconds_of(openssl_, openssl_.X509_get0_notBefore(found));
  certificate.ends_at_s = seconds_of(openssl_, openssl_.X509_get0_notAfter(found));
  BIO* text = openssl_.BIO_new(openssl_.BIO_s_mem());
  if (text != nullptr) {
    openssl_.X509_NAME_print_ex(text, openssl_.X509_get_subject_name(found), 0, kSubjectFlags);
    certificate.subject = drain(text);
    openssl_.BIO_free(text);
  }
  openssl_.X509_free(found);
  return certificate;
}

bool TlsHandshake::detach(RecordLayer* layer, TlsState* state) {
  const TlsSuite suite = suite_of(openssl_, session_);
  if (openssl_.SSL_version(session_) != TLS1_3_VERSION || suite == TlsSuite::kNone) return false;
  const size_t wanted = info_of(suite).secret_bytes;
  if (client_secret_bytes_ != wanted || server_secret_bytes_ != wanted) return false;
  const bool is_client = !certificates_;
  const TlsSecret& write_secret = is_client ? client_secret_ : server_secret_;
  const TlsSecret& read_secret = is_client ? server_secret_ : client_secret_;
  layer->begin(state, suite, write_secret, read_secret, records_sent_);
  state->is_client = is_client;
  state->content_code =
      openssl_.SSL_SESSION_get_max_fragment_length(openssl_.SSL_get_session(session_));
  return true;
}

}  // namespace megacomet

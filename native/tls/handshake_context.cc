// Settings and callbacks that both roles have. See handshake_context.h.
#include "tls/handshake_context.h"

namespace megacomet {

HandshakeContext::HandshakeContext(const OpenSslTls& functions, const SSL_METHOD* method)
    : openssl_(functions), context_(functions.SSL_CTX_new(method)) {
  if (context_ == nullptr) return;
  // The macros of ssl.h call SSL_CTX_ctrl() by that name.
  openssl_.SSL_CTX_ctrl(context_, SSL_CTRL_MODE, SSL_MODE_RELEASE_BUFFERS, nullptr);
  openssl_.SSL_CTX_ctrl(context_, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, nullptr);
  openssl_.SSL_CTX_set_options(context_, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  openssl_.SSL_CTX_set_keylog_callback(context_, on_key);
  openssl_.SSL_CTX_set_msg_callback(context_, on_message);
}

void HandshakeContext::give_up() {
  openssl_.ERR_clear_error();
  openssl_.SSL_CTX_free(context_);
  context_ = nullptr;
}

SSL* HandshakeContext::make_session(HandshakeObserver* observer) {
  SSL* session = openssl_.SSL_new(context_);
  if (session == nullptr) return nullptr;
  openssl_.SSL_ctrl(session, SSL_CTRL_SET_MSG_CALLBACK_ARG, 0, observer);
  openssl_.SSL_set_ex_data(session, 0, observer);
  return session;
}

BIO* HandshakeContext::open_text(std::string_view text) const {
  return openssl_.BIO_new_mem_buf(text.data(), static_cast<int>(text.size()));
}

std::string HandshakeContext::take_error() {
  const unsigned long code = openssl_.ERR_get_error();
  const char* reason = openssl_.ERR_reason_error_string(code);
  openssl_.ERR_clear_error();
  return reason == nullptr ? "OpenSSL error " + std::to_string(code) : reason;
}

std::string HandshakeContext::trust(std::string_view authorities, bool is_announced) {
  X509_STORE* store = openssl_.SSL_CTX_get_cert_store(context_);
  BIO* text = open_text(authorities);
  size_t count = 0;
  bool is_added = true;
  while (is_added) {
    X509* authority = openssl_.PEM_read_bio_X509(text, nullptr, no_pass_phrase, nullptr);
    if (authority == nullptr) break;
    is_added = openssl_.X509_STORE_add_cert(store, authority) == 1 &&
               (!is_announced || openssl_.SSL_CTX_add_client_CA(context_, authority) == 1);
    // The store has its own reference.
    openssl_.X509_free(authority);
    ++count;
  }
  openssl_.BIO_free(text);
  if (count == 0 || !is_added) return take_error();
  // The end of the file is an error of the PEM reader.
  openssl_.ERR_clear_error();
  return "";
}

int HandshakeContext::no_pass_phrase(char*, int, int, void*) {
  return -1;
}

void HandshakeContext::leave(SSL* session) {
  const OpenSslTls* openssl = find_openssl_tls();
  openssl->SSL_ctrl(session, SSL_CTRL_SET_MSG_CALLBACK_ARG, 0, nullptr);
  openssl->SSL_set_ex_data(session, 0, nullptr);
}

void HandshakeContext::on_key(const SSL* session, const char* line) {
  const OpenSslTls* openssl = find_openssl_tls();
  auto* observer = static_cast<HandshakeObserver*>(openssl->SSL_get_ex_data(session, 0));
  if (observer != nullptr) observer->take_key(line);
}

void HandshakeContext::on_message(
    int is_write, int, int type, const void* bytes, size_t size, SSL*, void* observer) {
  // A session of TLS 1.2 outlives its handshake.
  if (is_write == 0 || observer == nullptr) return;
  auto* handshake = static_cast<HandshakeObserver*>(observer);
  if (type == SSL3_RT_HEADER) handshake->note_record_sent();
  const bool is_finished = type == SSL3_RT_HANDSHAKE && size > 0 &&
                           *static_cast<const uint8_t*>(bytes) == SSL3_MT_FINISHED;
  // Its own record has been counted before.
  if (is_finished) handshake->note_finished_sent();
}

}  // namespace megacomet

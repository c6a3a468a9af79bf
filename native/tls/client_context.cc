// Authorities, names and sessions of a client. See client_context.h.
#include "tls/client_context.h"

namespace megacomet {

TlsClientContext::TlsClientContext(const OpenSslTls& functions)
    : HandshakeContext(functions, functions.TLS_client_method()) {
  if (!is_ready()) return;
  // A connection leaves OpenSSL after its handshake, which needs TLS 1.3.
  openssl_.SSL_CTX_ctrl(context_, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_3_VERSION, nullptr);
}

TlsClientContext::~TlsClientContext() {
  openssl_.SSL_SESSION_free(resumed_);
}

std::string TlsClientContext::configure(const TlsClientSettings& settings) {
  openssl_.ERR_clear_error();
  if (!settings.session.empty()) {
    const unsigned char* at = openssl_bytes(settings.session);
    resumed_ = openssl_.d2i_SSL_SESSION(nullptr, &at, static_cast<long>(settings.session.size()));
    if (resumed_ == nullptr) return take_error();
  }
  if (!settings.verifies) return "";
  openssl_.SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, nullptr);
  if (!settings.authorities.empty()) return trust(settings.authorities, false);
  return openssl_.SSL_CTX_set_default_verify_paths(context_) == 1 ? "" : take_error();
}

SSL* TlsClientContext::make_client(HandshakeObserver* observer, const TlsServerName& server) {
  SSL* session = make_session(observer);
  if (session == nullptr) return nullptr;
  openssl_.SSL_set_connect_state(session);
  std::string name = server.host;
  // It takes a numeric address for one, and else for a name.
  bool is_set = openssl_.SSL_set1_host(session, name.c_str()) == 1;
  if (server.is_sent) {
    is_set =
        openssl_.SSL_ctrl(
            session, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data()) == 1 &&
        is_set;
  }
  if (is_set && resumed_ != nullptr) is_set = openssl_.SSL_set_session(session, resumed_) == 1;
  if (is_set) return session;
  openssl_.ERR_clear_error();
  openssl_.SSL_free(session);
  return nullptr;
}

}  // namespace megacomet

// Settings of OpenSSL. See context.h.
#include "tls/context.h"

#include <cstring>

namespace megacomet {

namespace {

/// HTTP/1.1 as ALPN offers it, with its length (RFC 7301 3.1).
constexpr std::string_view kHttp11 = "\x08http/1.1";

constexpr std::string_view kSessionContext = "megacomet";

}  // namespace

TlsContext::TlsContext(const OpenSslTls& functions, const TlsSettings& settings)
    : HandshakeContext(functions, functions.TLS_server_method()) {
  if (!is_ready()) return;
  if (!apply(settings)) {
    give_up();
    return;
  }
  openssl_.SSL_CTX_set_options(context_,
                               SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  // With a session of another context the handshake is a full one.
  openssl_.SSL_CTX_set_session_id_context(
      context_, openssl_bytes(kSessionContext), kSessionContext.size());
  // A resumed session shows no certificate of the client again, perhaps long after the end of it.
  set_tickets(settings.client_ca.empty() ? settings.tickets : nullptr);
  openssl_.SSL_CTX_set_alpn_select_cb(context_, on_protocols, nullptr);
}

bool TlsContext::apply(const TlsSettings& settings) {
  const int version_min = settings.has_tls12 ? TLS1_2_VERSION : TLS1_3_VERSION;
  std::string groups = settings.groups;
  return openssl_.SSL_CTX_ctrl(context_, SSL_CTRL_SET_MIN_PROTO_VERSION, version_min, nullptr) ==
             1 &&
         (groups.empty() ||
          openssl_.SSL_CTX_ctrl(context_, SSL_CTRL_SET_GROUPS_LIST, 0, groups.data()) == 1) &&
         (settings.ciphers.empty() ||
          openssl_.SSL_CTX_set_cipher_list(context_, settings.ciphers.c_str()) == 1) &&
         (settings.suites.empty() ||
          openssl_.SSL_CTX_set_ciphersuites(context_, settings.suites.c_str()) == 1) &&
         (settings.client_ca.empty() || demand_certificates(settings.client_ca));
}

/// Clients need a certificate of one of these issuers, PEM.
bool TlsContext::demand_certificates(const std::string& issuers) {
  openssl_.SSL_CTX_set_verify(context_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return trust(issuers, true).empty();
}

/// A client gets one ticket for each connection, and so has one for its next.
void TlsContext::set_tickets(const TicketKeys* keys) {
  if (keys == nullptr) {
    openssl_.SSL_CTX_set_num_tickets(context_, 0);
    openssl_.SSL_CTX_set_options(context_, SSL_OP_NO_TICKET);
    return;
  }
  openssl_.SSL_CTX_set_num_tickets(context_, 1);
  openssl_.SSL_CTX_set_ex_data(context_, 0, const_cast<TicketKeys*>(keys));
  openssl_.SSL_CTX_set_tlsext_ticket_key_evp_cb(context_, on_ticket);
}

void TlsContext::set_chooser(ContextChooser* chooser) {
  openssl_.SSL_CTX_callback_ctrl(
      context_, SSL_CTRL_SET_TLSEXT_SERVERNAME_CB, reinterpret_cast<void (*)()>(on_host));
  openssl_.SSL_CTX_ctrl(context_, SSL_CTRL_SET_TLSEXT_SERVERNAME_ARG, 0, chooser);
}

/// A client that names no host, or an unknown one, gets the first certificate and decides itself
/// (RFC 6066 3).
int TlsContext::on_host(SSL* session, int*, void* chooser) {
  const OpenSslTls* openssl = find_openssl_tls();
  const char* host = openssl->SSL_get_servername(session, TLSEXT_NAMETYPE_host_name);
  if (host == nullptr) return SSL_TLSEXT_ERR_NOACK;
  const TlsContext* chosen = static_cast<ContextChooser*>(chooser)->choose(host);
  if (chosen == nullptr) return SSL_TLSEXT_ERR_NOACK;
  openssl->SSL_set_SSL_CTX(session, chosen->context_);
  return SSL_TLSEXT_ERR_OK;
}

std::string TlsContext::set_certificate(std::string_view chain, std::string_view key) {
  openssl_.ERR_clear_error();
  BIO* keys = open_text(key);
  EVP_PKEY* private_key = openssl_.PEM_read_bio_PrivateKey(keys, nullptr, no_pass_phrase, nullptr);
  openssl_.BIO_free(keys);
  if (private_key == nullptr) return take_error();
  BIO* certificates = open_text(chain);
  X509* leaf = openssl_.PEM_read_bio_X509(certificates, nullptr, no_pass_phrase, nullptr);
  bool is_set = leaf != nullptr && openssl_.SSL_CTX_use_certificate(context_, leaf) == 1 &&
                openssl_.SSL_CTX_use_PrivateKey(context_, private_key) == 1 &&
                openssl_.SSL_CTX_check_private_key(context_) == 1;
  openssl_.X509_free(leaf);
  openssl_.EVP_PKEY_free(private_key);
  while (is_set) {
    X509* issuer = openssl_.PEM_read_bio_X509(certificates, nullptr, no_pass_phrase, nullptr);
    if (issuer == nullptr) break;
    // The context owns the issuer afterwards, if it takes it.
    is_set = openssl_.SSL_CTX_ctrl(context_, SSL_CTRL_EXTRA_CHAIN_CERT, 0, issuer) == 1;
    if (!is_set) openssl_.X509_free(issuer);
  }
  openssl_.BIO_free(certificates);
  if (!is_set) return take_error();
  // The end of the chain is an error of the PEM reader.
  openssl_.ERR_clear_error();
  return "";
}

SSL* TlsContext::make_server(HandshakeObserver* observer) {
  SSL* session = make_session(observer);
  if (session != nullptr) openssl_.SSL_set_accept_state(session);
  return session;
}

/// OpenSSL asks the context with which the handshake began.
int TlsContext::on_ticket(SSL* session,
                          unsigned char* name,
                          unsigned char* iv,
                          EVP_CIPHER_CTX* cipher,
                          EVP_MAC_CTX* mac,
                          int is_made) {
  const OpenSslTls* openssl = find_openssl_tls();
  const auto* keys = static_cast<const TicketKeys*>(
      openssl->SSL_CTX_get_ex_data(openssl->SSL_get_SSL_CTX(session), 0));
  return is_made == 1 ? keys->seal(name, iv, cipher, mac) : keys->open(name, iv, cipher, mac);
}

/// A client that offers protocols must offer HTTP/1.1 (RFC 7301 3.2).
int TlsContext::on_protocols(SSL*,
                             const unsigned char** out,
                             unsigned char* out_size,
                             const unsigned char* offered,
                             unsigned int offered_size,
                             void*) {
  for (unsigned int at = 0; at < offered_size; at += 1U + offered[at]) {
    const size_t size = 1U + offered[at];
    if (size != kHttp11.size() || at + size > offered_size) continue;
    if (std::memcmp(offered + at, kHttp11.data(), size) != 0) continue;
    *out = offered + at + 1;
    *out_size = offered[at];
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

}  // namespace megacomet

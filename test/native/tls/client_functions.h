// The functions of OpenSSL that only the tests of TLS call, found as the product finds its own.
#pragma once

#include <dlfcn.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#define TEST_OPENSSL(X)                     \
  X(ASN1_INTEGER_set)                       \
  X(EVP_PKEY_Q_keygen)                      \
  X(PEM_write_bio_PrivateKey)               \
  X(PEM_write_bio_X509)                     \
  X(SSL_CTX_set_ciphersuites)               \
  X(SSL_CTX_set_tlsext_max_fragment_length) \
  X(SSL_SESSION_free)                       \
  X(SSL_SESSION_get0_ticket)                \
  X(SSL_get1_peer_certificate)              \
  X(SSL_get1_session)                       \
  X(SSL_key_update)                         \
  X(SSL_renegotiate)                        \
  X(SSL_set_alpn_protos)                    \
  X(SSL_set_connect_state)                  \
  X(SSL_set_session)                        \
  X(TLS_client_method)                      \
  X(X509_NAME_add_entry_by_txt)             \
  X(X509_NAME_oneline)                      \
  X(X509_get_serialNumber)                  \
  X(X509_get_subject_name)                  \
  X(X509_getm_notAfter)                     \
  X(X509_getm_notBefore)                    \
  X(X509_gmtime_adj)                        \
  X(X509_new)                               \
  X(X509_set_issuer_name)                   \
  X(X509_set_pubkey)                        \
  X(X509_sign)

struct ClientFunctions {
#define TEST_OPENSSL_MEMBER(name) \
  decltype(&::name) name = reinterpret_cast<decltype(&::name)>(::dlsym(RTLD_DEFAULT, #name));
  TEST_OPENSSL(TEST_OPENSSL_MEMBER)
#undef TEST_OPENSSL_MEMBER
};

inline const ClientFunctions& client_functions() {
  static const ClientFunctions kFunctions;
  return kFunctions;
}

// The OpenSSL of the Node binary that loaded the addon.
// Found with dlsym(): the addon must load also where a build of Node exports none of it. The types
// are from Node's headers. Only functions that OpenSSL 3.0, that of Node 20, has.
#pragma once

#include <cstdint>
#include <string_view>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

namespace megacomet {

#define MC_OPENSSL(X)        \
  X(CRYPTO_memcmp)           \
  X(ERR_clear_error)         \
  X(EVP_DigestVerify)        \
  X(EVP_DigestVerifyInit)    \
  X(EVP_MAC_CTX_free)        \
  X(EVP_MAC_CTX_new)         \
  X(EVP_MAC_fetch)           \
  X(EVP_MAC_final)           \
  X(EVP_MAC_free)            \
  X(EVP_MAC_init)            \
  X(EVP_MAC_update)          \
  X(EVP_MD_CTX_free)         \
  X(EVP_MD_CTX_new)          \
  X(EVP_PKEY_free)           \
  X(EVP_PKEY_get_bits)       \
  X(EVP_PKEY_get_group_name) \
  X(EVP_PKEY_is_a)           \
  X(EVP_sha256)              \
  X(d2i_PUBKEY)

/// Functions of TLS only: a server without TLS starts where a build of Node lacks one of them.
#define MC_OPENSSL_TLS(X)                 \
  X(ASN1_TIME_to_tm)                      \
  X(BIO_ctrl)                             \
  X(BIO_free)                             \
  X(BIO_new)                              \
  X(BIO_new_mem_buf)                      \
  X(BIO_read)                             \
  X(BIO_s_mem)                            \
  X(BIO_up_ref)                           \
  X(BIO_write)                            \
  X(CRYPTO_memcmp)                        \
  X(ERR_clear_error)                      \
  X(ERR_get_error)                        \
  X(ERR_reason_error_string)              \
  X(EVP_CIPHER_CTX_ctrl)                  \
  X(EVP_CIPHER_CTX_free)                  \
  X(EVP_CIPHER_CTX_new)                   \
  X(EVP_CIPHER_fetch)                     \
  X(EVP_CIPHER_free)                      \
  X(EVP_DecryptFinal_ex)                  \
  X(EVP_DecryptInit_ex2)                  \
  X(EVP_DecryptUpdate)                    \
  X(EVP_EncryptFinal_ex)                  \
  X(EVP_EncryptInit_ex2)                  \
  X(EVP_EncryptUpdate)                    \
  X(EVP_MAC_CTX_free)                     \
  X(EVP_MAC_CTX_new)                      \
  X(EVP_MAC_fetch)                        \
  X(EVP_MAC_final)                        \
  X(EVP_MAC_free)                         \
  X(EVP_MAC_init)                         \
  X(EVP_MAC_update)                       \
  X(EVP_PKEY_free)                        \
  X(OPENSSL_cleanse)                      \
  X(PEM_read_bio_PrivateKey)              \
  X(PEM_read_bio_X509)                    \
  X(RAND_bytes)                           \
  X(SSL_CIPHER_get_protocol_id)           \
  X(SSL_CTX_add_client_CA)                \
  X(SSL_CTX_callback_ctrl)                \
  X(SSL_CTX_check_private_key)            \
  X(SSL_CTX_ctrl)                         \
  X(SSL_CTX_free)                         \
  X(SSL_CTX_get_cert_store)               \
  X(SSL_CTX_get_ex_data)                  \
  X(SSL_CTX_new)                          \
  X(SSL_CTX_set_alpn_select_cb)           \
  X(SSL_CTX_set_cipher_list)              \
  X(SSL_CTX_set_ciphersuites)             \
  X(SSL_CTX_set_ex_data)                  \
  X(SSL_CTX_set_keylog_callback)          \
  X(SSL_CTX_set_msg_callback)             \
  X(SSL_CTX_set_num_tickets)              \
  X(SSL_CTX_set_options)                  \
  X(SSL_CTX_set_session_id_context)       \
  X(SSL_CTX_set_tlsext_ticket_key_evp_cb) \
  X(SSL_CTX_set_verify)                   \
  X(SSL_CTX_use_PrivateKey)               \
  X(SSL_CTX_use_certificate)              \
  X(SSL_SESSION_get_max_fragment_length)  \
  X(SSL_ctrl)                             \
  X(SSL_do_handshake)                     \
  X(SSL_free)                             \
  X(SSL_get1_peer_certificate)            \
  X(SSL_get_SSL_CTX)                      \
  X(SSL_get_current_cipher)               \
  X(SSL_get_error)                        \
  X(SSL_get_ex_data)                      \
  X(SSL_get_servername)                   \
  X(SSL_get_session)                      \
  X(SSL_get_shutdown)                     \
  X(SSL_is_init_finished)                 \
  X(SSL_new)                              \
  X(SSL_read)                             \
  X(SSL_session_reused)                   \
  X(SSL_set_SSL_CTX)                      \
  X(SSL_set_accept_state)                 \
  X(SSL_set_bio)                          \
  X(SSL_set_connect_state)                \
  X(SSL_set_ex_data)                      \
  X(SSL_shutdown)                         \
  X(SSL_version)                          \
  X(SSL_write)                            \
  X(TLS_client_method)                    \
  X(TLS_server_method)                    \
  X(X509_NAME_print_ex)                   \
  X(X509_STORE_add_cert)                  \
  X(X509_free)                            \
  X(X509_get0_notAfter)                   \
  X(X509_get0_notBefore)                  \
  X(X509_get_subject_name)

/// More functions of TLS, which its clients need.
#define MC_OPENSSL_CLIENT(X)          \
  X(SSL_CTX_set_default_verify_paths) \
  X(SSL_SESSION_free)                 \
  X(SSL_get_verify_result)            \
  X(SSL_set1_host)                    \
  X(SSL_set_session)                  \
  X(X509_verify_cert_error_string)    \
  X(d2i_SSL_SESSION)

/// The functions, each under its own name.
struct OpenSsl {
#define MC_OPENSSL_MEMBER(name) decltype(&::name) name = nullptr;
  MC_OPENSSL(MC_OPENSSL_MEMBER)
};
struct OpenSslTls {
  MC_OPENSSL_TLS(MC_OPENSSL_MEMBER)
  MC_OPENSSL_CLIENT(MC_OPENSSL_MEMBER)
#undef MC_OPENSSL_MEMBER
};

/// A text as OpenSSL takes it.
[[nodiscard]] inline const uint8_t* openssl_bytes(std::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

/// The functions of this process, found at the first call; null if one is missing.
[[nodiscard]] const OpenSsl* find_openssl();
[[nodiscard]] const OpenSslTls* find_openssl_tls();

/// The first function that is missing, for a message; "" if none is.
[[nodiscard]] const char* missing_openssl_function();
[[nodiscard]] const char* missing_openssl_tls_function();

}  // namespace megacomet

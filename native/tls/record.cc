// Sealing and opening. See record.h.
#include "tls/record.h"

#include <cstring>

#include "base/check.h"

namespace megacomet {

namespace {

using Nonce = std::array<uint8_t, kTlsIvBytes>;

/// The IV, exclusive-or the number of the record (RFC 8446 5.3).
Nonce nonce_of(const TlsKeys& keys, uint64_t number) {
  Nonce nonce = keys.iv;
  for (size_t index = 0; index < sizeof number; ++index) {
    nonce[nonce.size() - 1 - index] ^= static_cast<uint8_t>(number >> (8 * index));
  }
  return nonce;
}

void write_header(size_t body_bytes, uint8_t* out) {
  out[0] = static_cast<uint8_t>(TlsContent::kData);
  // The version of TLS 1.2, for middleboxes (RFC 8446 5.2).
  out[1] = 3;
  out[2] = 3;
  out[3] = static_cast<uint8_t>(body_bytes >> 8);
  out[4] = static_cast<uint8_t>(body_bytes);
}

}  // namespace

TlsHeader read_tls_header(const uint8_t* bytes, size_t size, size_t* body_bytes) {
  // A peer that speaks another protocol is known by its first byte.
  if (size >= 1 && bytes[0] != static_cast<uint8_t>(TlsContent::kData)) {
    return TlsHeader::kUnexpected;
  }
  if (size < kTlsHeaderBytes) return TlsHeader::kIncomplete;
  if (bytes[1] != 3 || bytes[2] != 3) return TlsHeader::kUnexpected;
  const size_t length = (size_t{bytes[3]} << 8) | bytes[4];
  if (length > kTlsBodyBytesMax) return TlsHeader::kOverflow;
  *body_bytes = length;
  return size < kTlsHeaderBytes + length ? TlsHeader::kIncomplete : TlsHeader::kProtected;
}

RecordCipher::RecordCipher(const OpenSslTls& functions) : openssl_(functions) {
  for (size_t index = 0; index < kTlsSuites; ++index) {
    make_contexts(kTlsSuiteInfos[index].cipher, &contexts_[index]);
  }
}

RecordCipher::~RecordCipher() {
  for (const Contexts& contexts : contexts_) {
    openssl_.EVP_CIPHER_CTX_free(contexts.seal);
    openssl_.EVP_CIPHER_CTX_free(contexts.open);
  }
}

/// Contexts that have their algorithm, so that later calls set key and nonce alone.
void RecordCipher::make_contexts(const char* cipher, Contexts* made) {
  EVP_CIPHER* fetched = openssl_.EVP_CIPHER_fetch(nullptr, cipher, nullptr);
  if (fetched == nullptr) return;
  EVP_CIPHER_CTX* seal = openssl_.EVP_CIPHER_CTX_new();
  EVP_CIPHER_CTX* open = openssl_.EVP_CIPHER_CTX_new();
  const bool is_made =
      seal != nullptr && open != nullptr &&
      openssl_.EVP_EncryptInit_ex2(seal, fetched, nullptr, nullptr, nullptr) == 1 &&
      openssl_.EVP_DecryptInit_ex2(open, fetched, nullptr, nullptr, nullptr) == 1;
  openssl_.EVP_CIPHER_free(fetched);
  if (is_made) {
    *made = {seal, open};
    return;
  }
  openssl_.EVP_CIPHER_CTX_free(seal);
  openssl_.EVP_CIPHER_CTX_free(open);
}

bool RecordCipher::is_ready() const {
  for (const Contexts& contexts : contexts_) {
    if (contexts.seal == nullptr) return false;
  }
  return true;
}

size_t RecordCipher::seal(TlsSuite suite,
                          const TlsKeys& keys,
                          uint64_t number,
                          TlsContent type,
                          const iovec* parts,
                          size_t count,
                          uint8_t* out) {
  size_t content_bytes = 0;
  for (size_t index = 0; index < count; ++index) content_bytes += parts[index].iov_len;
  MC_CHECK(content_bytes <= kTlsContentBytesMax);
  const size_t body_bytes = content_bytes + 1 + kTlsTagBytes;
  write_header(body_bytes, out);
  EVP_CIPHER_CTX* context = contexts_[index_of(suite)].seal;
  const Nonce nonce = nonce_of(keys, number);
  const auto type_byte = static_cast<uint8_t>(type);
  uint8_t* at = out + kTlsHeaderBytes;
  // A copy of the parts is sealed in place: each call of OpenSSL takes longer than a short copy.
  for (size_t index = 0; index < count; ++index) {
    if (parts[index].iov_len == 0) continue;
    std::memcpy(at, parts[index].iov_base, parts[index].iov_len);
    at += parts[index].iov_len;
  }
  *at++ = type_byte;
  uint8_t* content = out + kTlsHeaderBytes;
  int made = 0;
  const bool is_done =
      openssl_.EVP_EncryptInit_ex2(context, nullptr, keys.key.data(), nonce.data(), nullptr) == 1 &&
      openssl_.EVP_EncryptUpdate(context, nullptr, &made, out, kTlsHeaderBytes) == 1 &&
      openssl_.EVP_EncryptUpdate(
          context, content, &made, content, static_cast<int>(content_bytes + 1)) == 1 &&
      openssl_.EVP_EncryptFinal_ex(context, at, &made) == 1 &&
      openssl_.EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, int{kTlsTagBytes}, at) == 1;
  MC_CHECK(is_done);
  return kTlsHeaderBytes + body_bytes;
}

OpenStatus RecordCipher::open(TlsSuite suite,
                              const TlsKeys& keys,
                              uint64_t number,
                              uint8_t* record,
                              size_t body_bytes,
                              OpenedRecord* opened) {
  // The type and the tag.
  if (body_bytes < 1 + kTlsTagBytes) return OpenStatus::kBadMac;
  EVP_CIPHER_CTX* context = contexts_[index_of(suite)].open;
  const Nonce nonce = nonce_of(keys, number);
  uint8_t* content = record + kTlsHeaderBytes;
  size_t size = body_bytes - kTlsTagBytes;
  int made = 0;
  const bool is_begun =
      openssl_.EVP_DecryptInit_ex2(context, nullptr, keys.key.data(), nonce.data(), nullptr) == 1 &&
      openssl_.EVP_CIPHER_CTX_ctrl(
          context, EVP_CTRL_AEAD_SET_TAG, int{kTlsTagBytes}, content + size) == 1 &&
      openssl_.EVP_DecryptUpdate(context, nullptr, &made, record, kTlsHeaderBytes) == 1;
  MC_CHECK(is_begun);
  const bool is_authentic =
      openssl_.EVP_DecryptUpdate(context, content, &made, content, static_cast<int>(size)) == 1 &&
      openssl_.EVP_DecryptFinal_ex(context, content + size, &made) == 1;
  if (!is_authentic) {
    // OpenSSL leaves its reason in the thread's queue.
    openssl_.ERR_clear_error();
    return OpenStatus::kBadMac;
  }
  // Content, type and padding together (RFC 8446 5.4).
  if (size > kTlsContentBytesMax + 1) return OpenStatus::kOverflow;
  while (size > 0 && content[size - 1] == 0) --size;
  if (size == 0) return OpenStatus::kEmpty;
  --size;
  *opened = {static_cast<TlsContent>(content[size]), content, size};
  return OpenStatus::kOpened;
}

}  // namespace megacomet

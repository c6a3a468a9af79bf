// The format of TLS 1.3 records (RFC 8446 5): header, sealing and opening. Pure, without I/O and
// without the state of a connection.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <sys/uio.h>

#include "os/openssl.h"
#include "tls/suite.h"

namespace megacomet {

constexpr size_t kTlsHeaderBytes = 5;
/// Bytes of content that one record can have (RFC 8446 5.1).
constexpr size_t kTlsContentBytesMax = 16'384;
/// Bytes after the header of a protected record: content, its type, padding and tag (5.2).
constexpr size_t kTlsBodyBytesMax = kTlsContentBytesMax + 256;
/// Bytes that sealing adds to its content.
constexpr size_t kTlsOverheadBytes = kTlsHeaderBytes + 1 + kTlsTagBytes;

enum class TlsContent : uint8_t {
  kChangeCipherSpec = 20,
  kAlert = 21,
  kHandshake = 22,
  kData = 23,
};

/// The alerts of RFC 8446 6 that this side sends, or treats differently from others.
enum class TlsAlert : uint8_t {
  kCloseNotify = 0,
  kUnexpectedMessage = 10,
  kBadRecordMac = 20,
  kRecordOverflow = 22,
  kIllegalParameter = 47,
  kAccessDenied = 49,
  kDecodeError = 50,
  kInternalError = 80,
  kUserCanceled = 90,
};

/// The beginning of the bytes that a peer sent.
enum class TlsHeader : uint8_t {
  /// More bytes are needed.
  kIncomplete,
  kProtected,
  /// Not a protected record: TlsAlert::kUnexpectedMessage.
  kUnexpected,
  /// Too long: TlsAlert::kRecordOverflow.
  kOverflow,
};

/// Reads the header of a record after the handshake. `body_bytes` is set for kProtected.
[[nodiscard]] TlsHeader read_tls_header(const uint8_t* bytes, size_t size, size_t* body_bytes);

/// An opened record. `content` is null if it was padding only.
struct OpenedRecord {
  TlsContent type;
  uint8_t* content;
  size_t size;
};

enum class OpenStatus : uint8_t {
  kOpened,
  /// The tag is wrong or missing.
  kBadMac,
  /// Padding without a type.
  kEmpty,
  /// More content than a record can have.
  kOverflow,
};

/// Seals and opens records with one context for each suite and direction, which all connections of
/// a worker share.
class RecordCipher {
 public:
  explicit RecordCipher(const OpenSslTls& functions);
  RecordCipher(const RecordCipher&) = delete;
  RecordCipher& operator=(const RecordCipher&) = delete;
  ~RecordCipher();

  /// False if OpenSSL lacks an algorithm, or memory ran out.
  [[nodiscard]] bool is_ready() const;

  /// Writes one record, of the parts in their order, to `out`, which has room for their bytes and
  /// kTlsOverheadBytes. Returns the bytes of the record. A failure of OpenSSL is a bug, and aborts.
  size_t seal(TlsSuite suite,
              const TlsKeys& keys,
              uint64_t number,
              TlsContent type,
              const iovec* parts,
              size_t count,
              uint8_t* out);

  /// Opens the record at `record`, header included, in place. Its header was read before.
  [[nodiscard]] OpenStatus open(TlsSuite suite,
                                const TlsKeys& keys,
                                uint64_t number,
                                uint8_t* record,
                                size_t body_bytes,
                                OpenedRecord* opened);

 private:
  struct Contexts {
    EVP_CIPHER_CTX* seal = nullptr;
    EVP_CIPHER_CTX* open = nullptr;
  };

  void make_contexts(const char* cipher, Contexts* made);

  const OpenSslTls& openssl_;
  /// By index_of().
  std::array<Contexts, kTlsSuites> contexts_;
};

}  // namespace megacomet

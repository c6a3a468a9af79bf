// The record layer of connections that have left OpenSSL: RFC 8446 5 and 4.6.3, over a TlsState.
// Knows no socket. One object serves all connections of a worker.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <sys/uio.h>

#include "tls/key_schedule.h"
#include "tls/record.h"
#include "tls/tls_state.h"

namespace megacomet {

/// Why a connection can go on reading no more.
enum class TlsEnd : uint8_t {
  kNone,
  /// The peer sent close_notify: an orderly end.
  kClosed,
  /// The peer sent another alert.
  kAlerted,
  /// The peer broke a rule: `alert` says which.
  kBroken,
};

/// What read() made of the bytes of a peer.
struct TlsInput {
  /// Bytes of whole records. The others begin a record and are to be kept.
  size_t consumed = 0;
  /// Bytes of data, now at the front of the buffer.
  size_t data_bytes = 0;
  /// After the data.
  TlsEnd end = TlsEnd::kNone;
  TlsAlert alert = TlsAlert::kCloseNotify;
};

class RecordLayer {
 public:
  /// Bytes that seal() needs for content of a size: the record, and a KeyUpdate before it.
  [[nodiscard]] static constexpr size_t sealed_bytes_max(size_t content_bytes) {
    return content_bytes + 2 * kTlsOverheadBytes + kKeyUpdateBytes;
  }

  explicit RecordLayer(const OpenSslTls& functions);

  /// False if OpenSSL lacks an algorithm, or memory ran out.
  [[nodiscard]] bool is_ready() const { return cipher_.is_ready() && schedule_.is_ready(); }

  /// Sets the state of a connection whose handshake has ended; the secrets are the first traffic
  /// secrets, and `write_number` is the number of records that were already sent under ours.
  void begin(TlsState* state,
             TlsSuite suite,
             const TlsSecret& write_secret,
             const TlsSecret& read_secret,
             uint64_t write_number);

  /// Erases the state, and the keys that were derived from it.
  void forget(TlsState* state);

  /// Opens the whole records at the front of `bytes`, in place. `minute` counts minutes, from
  /// anywhere. After an end the
  /// bytes of the peer are ignored.
  TlsInput read(TlsState* state, uint8_t* bytes, size_t size, uint8_t minute);

  /// Seals data of at most kTlsContentBytesMax into one record, after a KeyUpdate if one is due.
  /// `out` has room for sealed_bytes_max(). Returns the bytes to send; they must be sent in this
  /// order, or the connection must end. Returns 0 after close_notify.
  size_t seal(TlsState* state, const iovec* parts, size_t count, uint8_t* out);
  /// The same for an alert; after close_notify or another fatal alert nothing more is sealed.
  size_t seal_alert(TlsState* state, TlsAlert alert, uint8_t* out);

 private:
  /// The keys of a read secret, for connections that send often.
  struct ReadKeys {
    TlsSecret secret;
    TlsKeys keys;
    TlsSuite suite;
  };
  /// 100 kB in all. Deriving the keys of a record takes longer than opening it, and with as many
  /// slots as busy connections two of three would share one.
  static constexpr size_t kReadKeysKept = 1024;

  ReadKeys& slot_of(const TlsState& state);
  const TlsKeys& read_keys_of(const TlsState& state);
  void forget_read_keys(const TlsState& state);
  size_t seal_record(
      TlsState* state, TlsContent type, const iovec* parts, size_t count, uint8_t* out);
  size_t seal_update(TlsState* state, uint8_t* out);
  bool take_record(TlsState* state, const OpenedRecord& record, uint8_t minute, TlsInput* input);
  static bool take_alert(const OpenedRecord& record, TlsInput* input);
  bool take_handshake(TlsState* state, const OpenedRecord& record, uint8_t minute, TlsInput* input);
  bool take_key_update(TlsState* state, uint8_t minute, TlsInput* input);

  const OpenSslTls& openssl_;
  RecordCipher cipher_;
  KeySchedule schedule_;
  std::array<ReadKeys, kReadKeysKept> read_keys_{};
};

}  // namespace megacomet

// permessage-deflate: its negotiation, and the payload of compressed messages. RFC 7692. The only
// file that uses zlib. zlib is not linked: dlsym finds it in the node binary, which exports it
// without a promise to do so, or else in the system's libz.so.1.
//
// Both context takeovers are always declined: a zlib state lasts for one message, and an idle
// connection has none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/bounds.h"

namespace megacomet {

/// The widest window of deflate: 2^15 bytes.
constexpr uint8_t kDeflateWindowBitsMax = 15;

/// The agreed parameters of permessage-deflate.
struct DeflateAgreement {
  /// The limit that the client sets for our window; 0 for none.
  uint8_t server_window_bits = 0;
  /// The limit that the client offers for its own window; 0 for none.
  uint8_t client_window_bits = 0;

  /// For DeflateCodec::deflate().
  [[nodiscard]] uint8_t deflate_window_bits() const {
    return server_window_bits == 0 ? kDeflateWindowBitsMax : server_window_bits;
  }
};

enum class DeflateOffer : uint8_t {
  /// No acceptable offer: continue without compression.
  kNone,
  kAgreed,
  /// Violates the grammar of RFC 6455 9.1: reject the handshake with 400.
  kMalformed,
};

/// Reads Sec-WebSocket-Extensions and accepts the first acceptable offer of permessage-deflate.
///
/// The caller joins several header fields with commas. An offer is skipped if it has an unknown or
/// repeated parameter or an invalid window (RFC 7692 7.1), and if it limits our window to 2^8,
/// which zlib's deflate does not support.
[[nodiscard]] DeflateOffer negotiate_deflate(std::string_view header, DeflateAgreement* out);

/// Appends the value of Sec-WebSocket-Extensions for the response.
void append_deflate_answer(const DeflateAgreement& agreement, std::string* out);

enum class DeflateFault : uint8_t {
  kNone,
  /// Inflates to more than the limit: close with 1009. At most one step more was inflated.
  kTooBig,
  /// Invalid or truncated deflate data: close with 1007.
  kBroken,
  /// All inflaters are in use: close with 1013.
  kBusy,
  /// No memory for zlib, or no zlib: close with 1011.
  kUnavailable,
};

/// The name of a missing symbol of zlib; null if zlib is complete. Check it at the start: without
/// zlib a server must not negotiate compression.
const char* missing_zlib_symbol();

/// Inflates and deflates the messages of one worker.
///
/// Holds one inflater for each message that is inflated at the same time, and one deflater (280
/// KiB), and keeps them until trim().
class DeflateCodec {
 public:
  struct Inflater;

  /// `inflaters_max`: messages that may be inflated at the same time. `inflate_window_bits`: the
  /// limit that peers agreed to; a server sets none.
  explicit DeflateCodec(size_t inflaters_max = bounds::kInflatersMax,
                        uint8_t inflate_window_bits = kDeflateWindowBitsMax);
  DeflateCodec(const DeflateCodec&) = delete;
  DeflateCodec& operator=(const DeflateCodec&) = delete;
  ~DeflateCodec();

  /// Acquires an inflater for a new message; release it with end_message(). Faults: kBusy and
  /// kUnavailable.
  [[nodiscard]] DeflateFault begin_message(Inflater** out);

  /// Inflates the next part of a message and appends it to `out`, up to a size of `bytes_max`.
  /// After a fault the message is lost, and the inflater must still be released.
  [[nodiscard]] DeflateFault inflate(
      Inflater* inflater, std::string_view part, bool is_final, size_t bytes_max, std::string* out);

  void end_message(Inflater* inflater);

  /// Deflates one message and appends it to `out`. The only fault is kUnavailable: nothing is
  /// appended, and the caller sends the message uncompressed. `window_bits`: 9 to 15.
  [[nodiscard]] DeflateFault deflate(std::string_view message,
                                     uint8_t window_bits,
                                     std::string* out);

  /// Frees the memory that no message uses.
  void trim();

  /// The number of messages that are being inflated.
  [[nodiscard]] size_t busy() const;

 private:
  struct States;
  std::unique_ptr<States> states_;
};

}  // namespace megacomet

// permessage-deflate: its negotiation, and the payload of compressed messages. RFC 7692.
// The only file that knows zlib. zlib is not linked: the node binary exports it, and where one does
// not, the system's own is opened. No I/O beyond that.
//
// Both context takeovers are always declined, so that a state lives as long as one message and an
// idle connection has none.
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

/// What an offer of permessage-deflate asks for and we grant.
struct DeflateAgreement {
  /// The window that the client allows us; 0 if it said nothing, and then the widest is right.
  uint8_t server_window_bits = 0;
  /// What the client can keep its own window to; 0 if it said nothing.
  uint8_t client_window_bits = 0;

  /// For DeflateCodec::deflate().
  [[nodiscard]] uint8_t deflate_window_bits() const {
    return server_window_bits == 0 ? kDeflateWindowBitsMax : server_window_bits;
  }
};

enum class DeflateOffer : uint8_t {
  /// No offer that we can take: go on without compression.
  kNone,
  kAgreed,
  /// Breaks the grammar of RFC 6455 9.1: refuse the handshake with 400.
  kMalformed,
};

/// Reads Sec-WebSocket-Extensions and takes the first offer of permessage-deflate that it can.
///
/// Several header fields are to be joined with commas first. An offer is passed over if it has an
/// unknown parameter, one twice, or a window that is none (RFC 7692 7.1); also if it wants ours to
/// be 2^8, which zlib cannot make.
[[nodiscard]] DeflateOffer negotiate_deflate(std::string_view header, DeflateAgreement* out);

/// Appends the value of Sec-WebSocket-Extensions in the answer.
void append_deflate_answer(const DeflateAgreement& agreement, std::string* out);

enum class DeflateFault : uint8_t {
  kNone,
  /// Inflates to more than the limit: close with 1009. At most a step more was inflated.
  kTooBig,
  /// Is not deflate, or ends in the midst: close with 1007.
  kBroken,
  /// All inflaters are in use: close with 1013.
  kBusy,
  /// zlib got no memory, or there is no zlib: close with 1011.
  kUnavailable,
};

/// Why there is no zlib in this process, as the name of a symbol that is missing; null if all is
/// there. To be asked at the start: without zlib nothing must be negotiated.
const char* missing_zlib_symbol();

/// Inflates and deflates the messages of one worker.
///
/// Memory is that of the messages being inflated at the same time, and of one deflater (280 KiB).
/// It is kept for the next ones until trim().
class DeflateCodec {
 public:
  struct Inflater;

  /// `inflaters_max`: messages that may be inflated at the same time. `inflate_window_bits`: what
  /// peers were told to keep to; a server does not tell.
  explicit DeflateCodec(size_t inflaters_max = bounds::kInflatersMax,
                        uint8_t inflate_window_bits = kDeflateWindowBitsMax);
  DeflateCodec(const DeflateCodec&) = delete;
  DeflateCodec& operator=(const DeflateCodec&) = delete;
  ~DeflateCodec();

  /// Takes an inflater for a message that begins, to be given back with end_message(). kBusy or
  /// kUnavailable.
  [[nodiscard]] DeflateFault begin_message(Inflater** out);

  /// Inflates the next part of a message and appends it to `out`, which may come to hold
  /// `bytes_max`. After a fault the message is lost, but the inflater must still be given back.
  [[nodiscard]] DeflateFault inflate(
      Inflater* inflater, std::string_view part, bool is_final, size_t bytes_max, std::string* out);

  void end_message(Inflater* inflater);

  /// Deflates one message and appends it to `out`. kUnavailable, and nothing is appended, is the
  /// only fault: send the message as it is then. `window_bits`: 9 to 15.
  [[nodiscard]] DeflateFault deflate(std::string_view message,
                                     uint8_t window_bits,
                                     std::string* out);

  /// Gives back the memory that no message uses now.
  void trim();

  /// Messages being inflated.
  [[nodiscard]] size_t busy() const;

 private:
  struct States;
  std::unique_ptr<States> states_;
};

}  // namespace megacomet

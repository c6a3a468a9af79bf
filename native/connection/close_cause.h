// The causes for which a connection closes, each with a counter, and those of a rejection.
#pragma once

#include <cstdint>

namespace megacomet {

enum class CloseCause : uint8_t {
  /// The peer ended its side.
  kPeer,
  /// The peer sent Close and was answered; its side is still open.
  kFinalResponse,
  kReset,
  kIdle,
  kDrain,
  /// The server lost the engine of its cluster.
  kCutOff,
  /// libev could not watch the descriptor.
  kWatchFailed,
  /// The last response of this connection was sent.
  kDone,
  /// The peer broke a rule of its protocol, or found no room.
  kRejected,
  /// The peer did not read the bytes that were sent to it.
  kSlow,
  /// The peer did not answer a heartbeat.
  kDead,
  /// An operator disconnected it.
  kKicked,
  /// Its token expired.
  kExpired,
  /// Its PROXY header was missing, malformed or late.
  kProxyHeader,
  /// The client that its PROXY header names exceeds a limit of its address.
  kLimited,
  /// The head of a request was not complete in time.
  kHeadTimeout,
  /// The subject of its certificate is revoked, or cannot be the name of a user.
  kCertificate,
  /// Its TLS handshake failed or was late, or a record broke a rule.
  kTls,
  /// A message of the peer was not complete in time.
  kMessageTimeout,
};

/// Whether the server sends all of its clients away: they should reconnect, perhaps elsewhere.
[[nodiscard]] constexpr bool is_departure(CloseCause cause) {
  return cause == CloseCause::kDrain || cause == CloseCause::kCutOff;
}

/// Why a peer is rejected before it is served. kServer: the server is full, drains or is cut off.
/// The others are limits of its address.
enum class Rejection : uint8_t { kServer, kTooMany, kTooFast };

}  // namespace megacomet

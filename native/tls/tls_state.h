// All that a TLS 1.3 connection keeps after its handshake: secrets, keys and numbers, no object of
// OpenSSL. Plain data, in a slab by descriptor that only a server with TLS maps.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "tls/suite.h"

namespace megacomet {

/// A KeyUpdate is the longest handshake message that a client sends now: type, length, request.
constexpr size_t kKeyUpdateBytes = 5;

struct TlsState {
  TlsSecret write_secret;
  TlsSecret read_secret;
  /// Of the write secret. Those of the read secret are derived at use: a client rarely sends.
  TlsKeys write_keys;
  /// Numbers of the next record in each direction, from 0 with each key (RFC 8446 5.3).
  uint64_t write_number;
  uint64_t read_number;
  /// kNone for a connection without TLS, for one whose handshake goes on, and for TLS 1.2.
  TlsSuite suite;
  /// Which peer this process is. A server sends session tickets, a client sends none.
  bool is_client : 1;
  /// The peer asked for new keys of ours: a KeyUpdate goes out before the next data.
  bool owes_update : 1;
  /// Our close_notify was sent: nothing may follow it.
  bool is_write_closed : 1;
  /// The peer's close_notify has arrived, or an error ended reading: later bytes are ignored.
  bool is_read_closed : 1;
  /// Data records without content in a row.
  uint8_t empty_records;
  /// KeyUpdates of the peer in the minute `update_minute`.
  uint8_t key_updates;
  uint8_t update_minute;
  /// Bytes of a handshake message that did not end with its record.
  uint8_t fragment_bytes;
  std::array<uint8_t, kKeyUpdateBytes> fragment;
  /// The content of records that the client asked for: 2^(8 + code) bytes, or 0 for the usual
  /// maximum (RFC 6066 4).
  uint8_t content_code;
  /// Bytes of a session ticket that are still to be ignored, in a client.
  uint16_t ignored_bytes;
};

static_assert(sizeof(TlsState) <= 192, "a million idle TLS connections pay for it");

}  // namespace megacomet

// The TLS of one dialer's connections: handshakes under way, and the state of each connection whose
// handshake is done. Off, without memory, in a run without TLS.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ipc/load_frames.h"
#include "os/slab.h"
#include "os/sys.h"
#include "tls/client_context.h"
#include "tls/handshake.h"
#include "tls/record_layer.h"

namespace megacomet {

class DialedTls {
 public:
  DialedTls() = default;
  DialedTls(const DialedTls&) = delete;
  DialedTls& operator=(const DialedTls&) = delete;

  /// Turns TLS on. Returns "" or the reason why this process or OpenSSL cannot.
  [[nodiscard]] std::string configure(const frame::DialTls& order);
  [[nodiscard]] bool is_on() const { return context_ != nullptr; }
  /// Reserves a state for each descriptor below `capacity`. False if the kernel has no address
  /// space.
  [[nodiscard]] bool reserve(uint32_t capacity);

  struct Step {
    HandshakeStatus status;
    /// To be sent as it is, also after a failure.
    std::string output;
    /// After kDone: sealed bytes of the server that came with its last message.
    std::string rest;
    /// After kFailed.
    TlsFailure failure;
  };
  /// The first step of the handshake with a target.
  Step begin(int fd, uint32_t target);
  /// Takes bytes of the server. After kDone its bytes are records.
  Step shake(int fd, const uint8_t* bytes, size_t size);

  // After kDone.

  struct Input {
    /// Valid until the next call.
    const uint8_t* data;
    size_t size;
    /// After the data.
    TlsEnd end;
    TlsAlert alert;
  };
  /// Opens whole records, in place, and keeps the beginning of another one.
  Input read(int fd, uint8_t* bytes, size_t size, uint64_t now_ns);

  /// Seals and sends bytes, until the kernel takes no more. The result has the number of bytes that
  /// were sealed; is_blocked() tells whether sealed bytes of them must still be sent, by a send()
  /// of no or more bytes.
  sys::IoResult send(int fd, std::string_view bytes);
  [[nodiscard]] bool is_blocked(int fd) const { return unsent_.count(fd) != 0; }
  /// Sends an alert if the kernel takes it at once.
  void send_alert(int fd, TlsAlert alert);

  /// The connection closes.
  void forget(int fd);

  /// An alert of the server as OpenSSL reports it during a handshake.
  [[nodiscard]] static TlsFailure failure_of(TlsAlert alert);

 private:
  Step take(int fd, HandshakeStatus status);
  sys::IoResult send_sealed(int fd, std::string_view sealed);

  std::unique_ptr<RecordLayer> layer_;
  std::unique_ptr<TlsClientContext> context_;
  /// By target.
  std::vector<TlsServerName> servers_;
  Slab<TlsState> states_;
  std::unordered_map<int, TlsHandshake> handshakes_;
  /// Records of which some bytes have arrived, and those of which some bytes are sent.
  std::unordered_map<int, std::string> unread_;
  std::unordered_map<int, std::string> unsent_;
  std::string joined_;
  /// One record, and a KeyUpdate before it.
  std::array<uint8_t, RecordLayer::sealed_bytes_max(kTlsContentBytesMax)> out_;
};

}  // namespace megacomet

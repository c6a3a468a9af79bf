// The echo load: connections send a message and check that the same bytes return.
// Pure: the caller moves the bytes. No socket, no clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "dialer/dialed.h"

namespace megacomet {

enum class EchoResult : uint8_t {
  /// More bytes of the echo must arrive.
  kPartial,
  /// The whole echo arrived; the connection is idle.
  kComplete,
  /// These bytes are not the echo of the message.
  kWrong,
};

class EchoLoad {
 public:
  /// Each message is one byte, which differs between neighbouring descriptors: an echo that reaches
  /// the wrong connection is noticed.
  void begin_verify();
  /// Each message has `message_bytes`, and connections repeat it until `ends_ns`.
  void begin_exchange(uint32_t message_bytes, uint64_t ends_ns);

  [[nodiscard]] bool is_exchanging(uint64_t now_ns) const { return now_ns < ends_ns_; }
  /// Whether as many connections await their echo as a verification allows.
  [[nodiscard]] bool is_full() const;
  /// Connections that await their echo.
  [[nodiscard]] uint32_t waiting() const { return waiting_; }

  /// Begins a message on an idle connection.
  void begin_message(Dialed* dialed, uint32_t now_us);
  /// The bytes of the message that are not sent. Valid until the next call.
  [[nodiscard]] std::string_view unsent(const Dialed& dialed);
  void add_sent(Dialed* dialed, size_t bytes);
  [[nodiscard]] bool is_sent(const Dialed& dialed) const { return dialed.sent == message_.size(); }
  /// Compares received bytes with the message. Bytes without a message are kWrong.
  [[nodiscard]] EchoResult add_received(Dialed* dialed, const uint8_t* bytes, size_t size);
  /// A connection closes while it awaits its echo.
  void abandon() { --waiting_; }

 private:
  [[nodiscard]] uint8_t byte_at(const Dialed& dialed, uint32_t offset) const;

  std::vector<uint8_t> message_;
  bool is_verifying_ = false;
  uint64_t ends_ns_ = 0;
  uint32_t waiting_ = 0;
};

}  // namespace megacomet

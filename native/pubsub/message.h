// One published message, and its bytes as each transport sends them.
// Encoded once per worker and transport, for the first subscriber, and shared by the others.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/ref.h"
#include "ipc/frames.h"

namespace megacomet {

/// Bytes that never change, shared by the send queues of many connections.
class Payload : public Counted {
 public:
  explicit Payload(std::string bytes) : bytes_(std::move(bytes)) {}
  [[nodiscard]] const uint8_t* data() const {
    return reinterpret_cast<const uint8_t*>(bytes_.data());
  }
  [[nodiscard]] size_t size() const { return bytes_.size(); }

 private:
  std::string bytes_;
};

inline Ref<Payload> make_payload(std::string bytes) {
  return make_ref<Payload>(std::move(bytes));
}

/// The forms in which a message is sent. A poll's is made for each client, or shared by those
/// without a callback.
enum class Encoding : uint8_t { kSse, kWebSocket, kWebSocketDeflated, kStream, kPoll };
constexpr size_t kEncodings = 5;

struct Message : public Counted {
  uint64_t epoch = 0;
  uint64_t number = 0;
  uint8_t flags = 0;
  uint32_t spread_ms = 0;
  /// It is not a message, but the notice that messages up to `number` are gone.
  bool is_loss_notice = false;
  std::string channel;
  std::string id;
  std::string event;
  std::string data;
  std::array<Ref<Payload>, kEncodings> encoded;

  /// The shared bytes of one form, made by `encode(message)` the first time.
  template <typename Encode>
  [[nodiscard]] const Ref<Payload>& encode_once(Encoding encoding, Encode encode) {
    Ref<Payload>& payload = encoded[static_cast<size_t>(encoding)];
    if (!payload) payload = make_payload(encode(*this));
    return payload;
  }

  [[nodiscard]] bool is_binary() const { return (flags & message_flag::kBinary) != 0; }
  [[nodiscard]] bool is_ephemeral() const { return (flags & message_flag::kEphemeral) != 0; }
  [[nodiscard]] SlowPolicy policy() const {
    const int bits = (flags >> message_flag::kPolicyShift) & message_flag::kPolicyMask;
    return bits > 2 ? SlowPolicy::kDisconnect : static_cast<SlowPolicy>(bits);
  }
};

}  // namespace megacomet

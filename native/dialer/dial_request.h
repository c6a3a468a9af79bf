// The requests of a subscriber of the load generator. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "codec/cursor.h"
#include "dialer/comet_reader.h"
#include "ipc/load_frames.h"

namespace megacomet {

class DialRequest {
 public:
  /// False if the order has an unknown transport.
  [[nodiscard]] bool set(const frame::Subscribe& order);

  [[nodiscard]] DialTransport transport() const { return transport_; }
  /// Whether connections subscribe; else they are plain TCP.
  [[nodiscard]] bool is_on() const { return transport_ != DialTransport::kTcp; }
  [[nodiscard]] bool awaits_cursor() const { return order_.awaits_cursor != 0; }
  /// Whether the user gave a cursor from which every subscriber starts.
  [[nodiscard]] bool has_since() const { return !order_.since.empty(); }
  /// Whether a response with this status is a success.
  [[nodiscard]] bool accepts(uint16_t status) const;

  /// The first request of subscriber `index`. Valid until the next call.
  [[nodiscard]] const std::string& opening(uint32_t index);
  /// A request for the messages after a cursor. Valid until the next call.
  [[nodiscard]] const std::string& after(uint32_t index, const Cursor& since);

 private:
  const std::string& write(uint32_t index, const std::string& since);

  frame::Subscribe order_;
  DialTransport transport_ = DialTransport::kTcp;
  /// The latest request.
  std::string text_;
};

}  // namespace megacomet

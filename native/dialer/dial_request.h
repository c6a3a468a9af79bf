// What a dialed connection asks a comet server for: the text of its requests. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "codec/cursor.h"
#include "dialer/comet_reader.h"
#include "ipc/frames.h"

namespace megacomet {

class DialRequest {
 public:
  /// False if the order names no transport.
  [[nodiscard]] bool set(const frame::Subscribe& order);

  [[nodiscard]] DialTransport transport() const { return transport_; }
  /// Whether connections subscribe at all.
  [[nodiscard]] bool is_on() const { return transport_ != DialTransport::kTcp; }
  [[nodiscard]] bool awaits_cursor() const { return order_.awaits_cursor != 0; }
  /// Whether every subscriber began at a cursor that the user gave.
  [[nodiscard]] bool has_since() const { return !order_.since.empty(); }
  /// The status of a head that answers.
  [[nodiscard]] bool is_fine(uint16_t status) const;

  /// The first request of the connection that was started as the `index`-th.
  [[nodiscard]] const std::string& opening(uint32_t index);
  /// A later request, for what comes after the cursor.
  [[nodiscard]] const std::string& after(uint32_t index, const Cursor& since);

 private:
  const std::string& write(uint32_t index, const std::string& since);

  frame::Subscribe order_;
  DialTransport transport_ = DialTransport::kTcp;
  /// The request that was written last.
  std::string text_;
};

}  // namespace megacomet

// Writes the requests of subscribers. See dial_request.h.
#include "dialer/dial_request.h"

namespace megacomet {

namespace {

constexpr const char* kPaths[] = {"", "/events", "/ws", "/poll", "/stream"};

/// The key of the example in RFC 6455 1.3: a key is not a secret.
constexpr const char* kUpgrade =
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
constexpr const char* kFields[] = {
    "",
    "Accept: text/event-stream\r\n",
    kUpgrade,
    "",
    "",
};

/// A cursor that no server has: the server answers such a poll at once, with its own position.
constexpr const char* kNowhere = "0000000000000000.0";

}  // namespace

bool DialRequest::set(const frame::Subscribe& order) {
  if (order.transport > static_cast<uint8_t>(DialTransport::kStream)) return false;
  order_ = order;
  transport_ = static_cast<DialTransport>(order.transport);
  return true;
}

bool DialRequest::accepts(uint16_t status) const {
  if (transport_ == DialTransport::kWebSocket) return status == 101;
  return status == 200 || (status == 204 && transport_ == DialTransport::kPoll);
}

const std::string& DialRequest::opening(uint32_t index) {
  const bool needs_position = transport_ == DialTransport::kPoll && order_.since.empty();
  return write(index, needs_position ? std::string(kNowhere) : order_.since);
}

const std::string& DialRequest::after(uint32_t index, const Cursor& since) {
  char text[kCursorTextMax];
  return write(index, std::string(text, format_cursor(since, text)));
}

const std::string& DialRequest::write(uint32_t index, const std::string& since) {
  const auto at = static_cast<size_t>(transport_);
  text_.assign("GET ").append(kPaths[at]).append("?channel=").append(order_.channel);
  if (order_.channels != 0) {
    text_.append(std::to_string((order_.first + index) % order_.channels));
  }
  if (!since.empty()) text_.append("&since=").append(since);
  text_.append(" HTTP/1.1\r\nHost: ").append(order_.host).append("\r\n");
  if (!order_.tokens.empty()) {
    const std::string& token = order_.tokens[(order_.first + index) % order_.tokens.size()];
    text_.append("Authorization: Bearer ").append(token).append("\r\n");
  }
  text_.append(kFields[at]).append("\r\n");
  return text_;
}

}  // namespace megacomet

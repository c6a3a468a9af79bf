// Handshakes, records and their memory. See dialed_tls.h.
#include "dialer/dialed_tls.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace megacomet {

namespace {

constexpr uint64_t kNsPerMinute = 60'000'000'000;

}  // namespace

std::string DialedTls::configure(const frame::DialTls& order) {
  if (is_on() || order.hosts.empty()) return "invalid DialTls frame";
  const OpenSslTls* functions = find_openssl_tls();
  if (functions == nullptr) {
    return std::string("this build of Node.js does not export ") + missing_openssl_tls_function();
  }
  auto layer = std::make_unique<RecordLayer>(*functions);
  auto context = std::make_unique<TlsClientContext>(*functions);
  if (!layer->is_ready() || !context->is_ready()) return "OpenSSL lacks an algorithm or memory";
  std::string reason =
      context->configure({order.verifies != 0, order.authorities.bytes, order.session.bytes});
  if (!reason.empty()) return reason;
  for (const std::string& host : order.hosts) servers_.push_back({host, order.sends_name != 0});
  layer_ = std::move(layer);
  context_ = std::move(context);
  return "";
}

bool DialedTls::reserve(uint32_t capacity) {
  if (!is_on()) return true;
  if (!states_.map(capacity)) return false;
  states_.hide_from_dumps();
  return true;
}

DialedTls::Step DialedTls::begin(int fd, uint32_t target) {
  const TlsServerName& server = servers_[target % servers_.size()];
  const auto [made, is_new] = handshakes_.try_emplace(fd, context_.get(), server);
  MC_CHECK(is_new);
  return take(fd, made->second.is_ready() ? made->second.begin() : HandshakeStatus::kFailed);
}

DialedTls::Step DialedTls::shake(int fd, const uint8_t* bytes, size_t size) {
  const auto found = handshakes_.find(fd);
  MC_CHECK(found != handshakes_.end());
  return take(fd, found->second.feed(bytes, size));
}

/// Takes the output of a step of the handshake.
DialedTls::Step DialedTls::take(int fd, HandshakeStatus status) {
  const auto found = handshakes_.find(fd);
  TlsHandshake& handshake = found->second;
  Step step{status, {}, {}, {}};
  if (!handshake.is_ready()) return step;
  step.output = handshake.output();
  if (status == HandshakeStatus::kFailed) step.failure = handshake.failure();
  if (status != HandshakeStatus::kDone) return step;
  step.rest = handshake.rest();
  if (!handshake.detach(layer_.get(), states_.occupy(fd))) {
    states_.release(fd);
    step.status = HandshakeStatus::kFailed;
  }
  handshakes_.erase(found);
  return step;
}

DialedTls::Input DialedTls::read(int fd, uint8_t* bytes, size_t size, uint64_t now_ns) {
  const auto begun = unread_.find(fd);
  if (begun != unread_.end()) {
    joined_ = std::move(begun->second);
    unread_.erase(begun);
    joined_.append(reinterpret_cast<const char*>(bytes), size);
    bytes = reinterpret_cast<uint8_t*>(joined_.data());
    size = joined_.size();
  }
  const auto minute = static_cast<uint8_t>(now_ns / kNsPerMinute);
  const TlsInput input = layer_->read(states_.at(fd), bytes, size, minute);
  if (input.consumed < size && input.end == TlsEnd::kNone) {
    unread_.emplace(
        fd,
        std::string(reinterpret_cast<const char*>(bytes) + input.consumed, size - input.consumed));
  }
  return {bytes, input.data_bytes, input.end, input.alert};
}

sys::IoResult DialedTls::send(int fd, std::string_view bytes) {
  const auto found = unsent_.find(fd);
  if (found != unsent_.end()) {
    const std::string rest = std::move(found->second);
    unsent_.erase(found);
    const sys::IoResult result = send_sealed(fd, rest);
    if (result.status == sys::IoStatus::kFailed || is_blocked(fd)) return result;
  }
  size_t sealed = 0;
  while (sealed < bytes.size() && !is_blocked(fd)) {
    const std::string_view content = bytes.substr(sealed, kTlsContentBytesMax);
    const iovec part{const_cast<char*>(content.data()), content.size()};
    const size_t size = layer_->seal(states_.at(fd), &part, 1, out_.data());
    const sys::IoResult result =
        send_sealed(fd, {reinterpret_cast<const char*>(out_.data()), size});
    if (result.status == sys::IoStatus::kFailed) return result;
    sealed += content.size();
  }
  return {sys::IoStatus::kDone, sealed, 0};
}

/// Keeps the bytes that the kernel does not take. The result has no bytes: none are the caller's.
sys::IoResult DialedTls::send_sealed(int fd, std::string_view sealed) {
  const sys::IoResult result = sys::send(fd, sealed.data(), sealed.size());
  if (result.status == sys::IoStatus::kFailed) return result;
  if (result.bytes < sealed.size()) unsent_.emplace(fd, sealed.substr(result.bytes));
  return {sys::IoStatus::kDone, 0, 0};
}

void DialedTls::send_alert(int fd, TlsAlert alert) {
  if (is_blocked(fd)) return;
  const size_t size = layer_->seal_alert(states_.at(fd), alert, out_.data());
  if (size > 0) static_cast<void>(sys::send(fd, out_.data(), size));
}

void DialedTls::forget(int fd) {
  if (!is_on()) return;
  unread_.erase(fd);
  unsent_.erase(fd);
  handshakes_.erase(fd);
  if (states_.at(fd)->suite != TlsSuite::kNone) states_.release(fd);
}

TlsFailure DialedTls::failure_of(TlsAlert alert) {
  const int reason = SSL_AD_REASON_OFFSET + static_cast<int>(alert);
  const char* text = find_openssl_tls()->ERR_reason_error_string(ERR_PACK(ERR_LIB_SSL, 0, reason));
  return {false, reason, text == nullptr ? "unknown alert" : text};
}

}  // namespace megacomet

// Reading the request of a rejected peer, answering and closing. See rejected_peers.h.
#include "connection/rejected_peers.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "codec/proxy_codec.h"
#include "os/sys.h"

namespace megacomet {

namespace {

/// Two, so that a peer has one whole second at least: for its request, and to read the answer.
constexpr uint8_t kTicks = 2;

}  // namespace

RejectedPeers::RejectedPeers(struct ev_loop* loop,
                             Services* services,
                             const Protocol* const* protocols,
                             TlsConnections* tls)
    : loop_(loop), services_(services), protocols_(protocols), tls_(tls) {}

RejectedPeers::~RejectedPeers() {
  for (Slot& slot : slots_) {
    if (slot.ticks_left > 0) release(&slot);
  }
}

void RejectedPeers::take(
    int fd, uint8_t protocol, Rejection reason, std::string_view request, uint8_t flags) {
  MC_CHECK(!is_full());
  Slot* slot = slots_.data();
  while (slot->ticks_left > 0) ++slot;
  ev_io_init(&slot->watcher, on_event, fd, EV_READ);
  slot->watcher.data = this;
  slot->ticks_left = kTicks;
  slot->protocol = protocol;
  slot->flags = flags;
  slot->reason = reason;
  slot->is_answered = false;
  if ((flags & listener_flag::kTls) != 0) slot->tls = tls_->make_exchange();
  ++size_;
  if (reason != Rejection::kServer) ++limited_;
  ev_io_start(loop_, &slot->watcher);
  // The request has often arrived with the connection.
  if (!request.empty()) keep(slot, request);
  if (slot->ticks_left > 0) read(slot);
}

void RejectedPeers::tick() {
  if (size_ == 0) return;
  for (Slot& slot : slots_) {
    if (slot.ticks_left == 0 || --slot.ticks_left > 0) continue;
    if (slot.is_answered) {
      release(&slot);
    } else {
      answer(&slot, true);
    }
  }
}

void RejectedPeers::on_event(struct ev_loop*, ev_io* watcher, int revents) {
  auto* self = static_cast<RejectedPeers*>(watcher->data);
  // The watcher is the first member of its slot.
  auto* slot = reinterpret_cast<Slot*>(watcher);
  if ((revents & EV_ERROR) != 0) return self->release(slot);
  self->read(slot);
}

void RejectedPeers::read(Slot* slot) {
  uint8_t bytes[bounds::kLingeringCloseReadBytes];
  const sys::IoResult result = sys::receive(slot->watcher.fd, bytes, sizeof bytes);
  if (result.status == sys::IoStatus::kAgain) return;
  if (result.status != sys::IoStatus::kDone) return release(slot);
  if (slot->is_answered) return;
  keep(slot, {reinterpret_cast<const char*>(bytes), result.bytes});
}

/// Takes bytes of the peer: its PROXY header, then its request, which may be inside TLS.
void RejectedPeers::keep(Slot* slot, std::string_view bytes) {
  if ((slot->flags & listener_flag::kProxyHeader) != 0) return keep_header(slot, bytes);
  std::string opened;
  if (slot->tls != nullptr) {
    opened = bytes;
    if (!open(slot, &opened)) return release(slot);
    bytes = opened;
  }
  const size_t room = bounds::kHttpHeadBytesMax - slot->request.size();
  slot->request.append(bytes.substr(0, room));
  answer(slot, slot->request.size() == bounds::kHttpHeadBytesMax);
}

void RejectedPeers::keep_header(Slot* slot, std::string_view bytes) {
  std::string text = std::move(slot->request);
  text.append(bytes);
  const ProxyHeader header = parse_proxy_header(text);
  slot->request.clear();
  if (header.status == ProxyStatus::kIncomplete) {
    slot->request = std::move(text);
    return;
  }
  slot->flags &= static_cast<uint8_t>(~listener_flag::kProxyHeader);
  keep(slot, std::string_view(text).substr(header.consumed));
}

/// Replaces bytes of TLS by their data. False if the peer broke a rule: it may have got an alert.
bool RejectedPeers::open(Slot* slot, std::string* bytes) {
  const bool was_open = slot->tls->is_open();
  std::string output;
  std::string data;
  const bool goes_on = slot->tls->feed(*bytes, &output, &data);
  if (!output.empty()) static_cast<void>(sys::send(slot->watcher.fd, output.data(), output.size()));
  // The request has as much time as without TLS.
  if (!was_open && slot->tls->is_open()) slot->ticks_left = kTicks;
  *bytes = std::move(data);
  return goes_on;
}

/// Answers a complete request, or the part that has arrived if `is_last`. Then our side ends; later
/// input is discarded, because a close with unread bytes would reset the answer (RFC 9112 9.6).
void RejectedPeers::answer(Slot* slot, bool is_last) {
  if (slot->tls != nullptr && !slot->tls->is_open()) {
    if (is_last) release(slot);
    return;
  }
  const auto reject = protocols_[slot->protocol]->reject;
  std::string text = reject(*services_, slot->reason, slot->request, is_last);
  if (text.empty()) return;
  if (slot->tls != nullptr) text = slot->tls->seal(text);
  const int fd = slot->watcher.fd;
  if (sys::send(fd, text.data(), text.size()).status == sys::IoStatus::kFailed) {
    return release(slot);
  }
  sys::end_output(fd);
  slot->is_answered = true;
  slot->ticks_left = kTicks;
}

void RejectedPeers::release(Slot* slot) {
  const int fd = slot->watcher.fd;
  // Stop, then close: see libev.h, rule 2.
  ev_io_stop(loop_, &slot->watcher);
  slot->ticks_left = 0;
  // Swapped, so that a free slot owns no memory.
  std::string().swap(slot->request);
  slot->tls.reset();
  --size_;
  if (slot->reason != Rejection::kServer) --limited_;
  sys::close(fd);
}

}  // namespace megacomet

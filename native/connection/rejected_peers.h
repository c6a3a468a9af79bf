// Answers to peers that the server has no room for, that arrive while it drains, or whose address
// has too many connections. At a listener with TLS the answer is inside TLS.
// The request decides the form of the answer: an EventSource that receives an error never
// reconnects (HTML standard, 9.2.2). So the peer may send its request first.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/bounds.h"
#include "connection/protocol.h"
#include "connection/services.h"
#include "connection/tls_connections.h"
#include "os/libev.h"

namespace megacomet {

class RejectedPeers {
 public:
  RejectedPeers(struct ev_loop* loop,
                Services* services,
                const Protocol* const* protocols,
                TlsConnections* tls);
  RejectedPeers(const RejectedPeers&) = delete;
  RejectedPeers& operator=(const RejectedPeers&) = delete;
  ~RejectedPeers();

  /// Whether all slots are in use: the next peer has to wait in the queue of its listener.
  [[nodiscard]] bool is_full() const { return size_ == slots_.size(); }

  /// Whether the peers over a limit of their address have all of their slots in use.
  [[nodiscard]] bool is_full_of_limited() const {
    return is_full() || limited_ >= bounds::kLimitedRejectedPeersMax;
  }

  /// Takes an accepted descriptor of a protocol that has an answer. There must be a free slot.
  /// `request` has the bytes that the peer has sent already, `flags` the listener_flag of its
  /// listener if they begin as it says.
  void take(
      int fd, uint8_t protocol, Rejection reason, std::string_view request = {}, uint8_t flags = 0);

  /// Once a second.
  void tick();

 private:
  struct Slot {
    ev_io watcher;
    /// Ticks until it is answered, or until it closes; 0 for a free slot.
    uint8_t ticks_left;
    uint8_t protocol;
    /// A set of listener_flag, without those for bytes that have arrived.
    uint8_t flags;
    Rejection reason;
    bool is_answered;
    /// The bytes that the peer has sent, without TLS.
    std::string request;
    /// Null without TLS.
    std::unique_ptr<TlsExchange> tls;
  };

  static void on_event(struct ev_loop* loop, ev_io* watcher, int revents);
  void read(Slot* slot);
  void keep(Slot* slot, std::string_view bytes);
  void keep_header(Slot* slot, std::string_view bytes);
  [[nodiscard]] bool open(Slot* slot, std::string* bytes);
  void answer(Slot* slot, bool is_last);
  void release(Slot* slot);

  struct ev_loop* loop_;
  Services* services_;
  const Protocol* const* protocols_;
  TlsConnections* tls_;
  uint32_t size_ = 0;
  uint32_t limited_ = 0;
  std::array<Slot, bounds::kRejectedPeersMax> slots_{};
};

}  // namespace megacomet

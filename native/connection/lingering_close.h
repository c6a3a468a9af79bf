// Closing sockets whose peers were sent a final response and may still be sending.
// A close with unread bytes resets the connection, and the peer drops the response unread (RFC 9112
// 9.6). So only our side ends first, and input is discarded for a moment.
#pragma once

#include <array>
#include <cstdint>

#include "base/bounds.h"
#include "os/libev.h"

namespace megacomet {

class LingeringClose {
 public:
  explicit LingeringClose(struct ev_loop* loop);
  LingeringClose(const LingeringClose&) = delete;
  LingeringClose& operator=(const LingeringClose&) = delete;
  ~LingeringClose();

  /// Ends our side, and closes when the peer ends its own or the time is up. False if all slots are
  /// in use: the caller closes.
  [[nodiscard]] bool take(int fd);

  /// Once a second.
  void tick();

  [[nodiscard]] uint32_t size() const { return size_; }

 private:
  struct Slot {
    ev_io watcher;
    /// Ticks until it closes; 0 for a free slot.
    uint8_t ticks_left;
  };

  static void on_event(struct ev_loop* loop, ev_io* watcher, int revents);
  void release(Slot* slot);

  struct ev_loop* loop_;
  uint32_t size_ = 0;
  std::array<Slot, bounds::kLingeringCloseMax> slots_{};
};

}  // namespace megacomet

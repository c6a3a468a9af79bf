// Peers that were turned away or said farewell, and may still send: our last word has to arrive.
// A close with bytes unread, or yet to come, is a reset to the peer, which drops what it
// has not read (RFC 9112 9.6). So our side ends, and the rest is thrown away for a moment.
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

  /// Ends our side, and closes once the peer has ended its own or its time is up. False where all
  /// places are taken: then the caller closes.
  [[nodiscard]] bool take(int fd);

  /// Once a second.
  void tick();

  [[nodiscard]] uint32_t size() const { return size_; }

 private:
  struct Place {
    ev_io watcher;
    /// Ticks until it is closed; 0 for a free place.
    uint8_t ticks_left;
  };

  static void on_event(struct ev_loop* loop, ev_io* watcher, int revents);
  void release(Place* place);

  struct ev_loop* loop_;
  uint32_t size_ = 0;
  std::array<Place, bounds::kLingeringCloseMax> places_{};
};

}  // namespace megacomet

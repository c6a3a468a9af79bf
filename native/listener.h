// One listening socket in one worker: accept in batches, pause at limits. Level 7.
#pragma once

#include <cstdint>

#include "admission.h"
#include "control.h"
#include "libev.h"
#include "sys.h"
#include "transport.h"

namespace megacomet {

class Listener final : public RoomWaiter {
 public:
  struct Parts {
    struct ev_loop* loop;
    Admission* admission;
    Transport* transport;
    Control* control;
    Counters* counters;
  };

  /// `is_shared`: other workers hold the same socket (a unix socket, an inherited descriptor), so
  /// it is never shut down from here.
  Listener(const Parts& parts, int fd, bool is_shared, uint8_t protocol);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener();

  /// Starts or stops to take connections.
  void watch(bool on);

  /// Accepts what is queued, then takes no more; a socket of our own is shut down, so that peers
  /// are refused instead of being left in a queue that nobody serves.
  void drain();

  void on_room() override;

 private:
  static void on_readable(struct ev_loop* loop, ev_io* watcher, int revents);
  static void on_timer(struct ev_loop* loop, ev_timer* timer, int revents);

  enum class Next { kContinue, kStop };
  void accept_batch(int count_max);
  Next accept_one();
  Next handle(const sys::Accepted& accepted);
  Next fail(Counter cause, const sys::Accepted& accepted);
  void refuse(int fd, Counter cause);
  void shed();

  void pause();
  void pause_for(uint32_t ms);
  void pause_for_shortage();
  void resume();
  void log_rarely(const char* message, int error);

  Parts parts_;
  int fd_;
  bool is_shared_;
  uint8_t protocol_;
  bool is_wanted_ = false;
  bool is_paused_ = false;
  bool is_finished_ = false;
  uint32_t shortage_pause_ms_ = 0;
  uint64_t log_after_ns_ = 0;
  uint32_t log_suppressed_ = 0;
  ev_io watcher_;
  ev_timer timer_;
};

}  // namespace megacomet

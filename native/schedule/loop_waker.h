// Keeps a loop from sleeping longer than a given time.
#pragma once

#include "os/libev.h"

namespace megacomet {

class LoopWaker {
 public:
  explicit LoopWaker(struct ev_loop* loop) : loop_(loop) {
    ev_idle_init(&idle_, on_idle);
    ev_timer_init(&timer_, on_timer, 0., 0.);
  }
  LoopWaker(const LoopWaker&) = delete;
  LoopWaker& operator=(const LoopWaker&) = delete;
  ~LoopWaker() { wake_after(kNever); }

  /// Seconds that the loop may sleep: 0 for none, negative for any time.
  void wake_after(double seconds) {
    if (seconds == 0.) {
      ev_idle_start(loop_, &idle_);
    } else {
      ev_idle_stop(loop_, &idle_);
    }
    if (seconds <= 0.) return ev_timer_stop(loop_, &timer_);
    // Called in each iteration: a timer that runs already keeps its time.
    if (ev_is_active(&timer_) && timer_.repeat == seconds) return;
    timer_.repeat = seconds;
    ev_timer_again(loop_, &timer_);
  }

 private:
  static constexpr double kNever = -1.;

  // An active watcher is all that is needed. The work is done in ev_prepare, before the loop
  // sleeps: libev calls an idle watcher only when no other event is pending, which under steady
  // input never happens.
  static void on_idle(struct ev_loop*, ev_idle*, int) {}
  static void on_timer(struct ev_loop*, ev_timer*, int) {}

  struct ev_loop* loop_;
  ev_idle idle_;
  ev_timer timer_;
};

}  // namespace megacomet

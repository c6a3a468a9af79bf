// Tests of how long a loop may sleep.
#include "schedule/loop_waker.h"

#include "support/unit.h"

using namespace megacomet;

namespace {

/// Seconds that one iteration of a loop sleeps, at most `limit_s`.
double sleep_s(struct ev_loop* loop, double limit_s) {
  ev_timer limit;
  ev_timer_init(
      &limit, [](struct ev_loop*, ev_timer*, int) {}, limit_s, 0.);
  ev_now_update(loop);
  ev_timer_start(loop, &limit);
  const ev_tstamp began_s = ev_now(loop);
  ev_run(loop, EVRUN_ONCE);
  ev_timer_stop(loop, &limit);
  return ev_now(loop) - began_s;
}

}  // namespace

TEST("a loop sleeps not at all, for the given time, or for any time") {
  const LoopOwner loop = make_loop();
  LoopWaker waker(loop.get());
  EXPECT(sleep_s(loop.get(), 0.05) >= 0.045);
  waker.wake_after(0.);
  EXPECT(sleep_s(loop.get(), 60.) < 30.);
  waker.wake_after(0.02);
  const double seconds = sleep_s(loop.get(), 60.);
  EXPECT(seconds >= 0.015 && seconds < 30.);
  waker.wake_after(-1.);
  EXPECT(sleep_s(loop.get(), 0.05) >= 0.045);
}

TEST("the same time in each iteration does not postpone the end of the sleep") {
  const LoopOwner loop = make_loop();
  LoopWaker waker(loop.get());
  waker.wake_after(0.5);
  // Events every 10 ms, as of a busy server. A timer that started anew would have 0.49 s left.
  for (double slept_s = 0.; slept_s < 0.45;) {
    waker.wake_after(0.5);
    slept_s += sleep_s(loop.get(), 0.01);
  }
  EXPECT(sleep_s(loop.get(), 60.) < 0.3);
}

// One listening socket in one worker: accept in batches, pause at limits.
//
// A peer that is not accepted stays in the kernel's queue, and a watcher is level-triggered: a loop
// that only returned would spin. So a listener pauses for a time, or until a connection closes. At
// EMFILE it first rejects a few peers with a spare descriptor. New peers are steered away from a
// full worker, but no other worker can accept the peers in its queue, so it rejects those when they
// have waited for seconds.
#pragma once

#include <cstdint>

#include "connection/admission.h"
#include "connection/client_limits.h"
#include "connection/rare_log.h"
#include "connection/transport.h"
#include "ipc/control.h"
#include "ipc/frames.h"
#include "os/libev.h"
#include "os/sys.h"
#include "schedule/accept_pressure.h"

namespace megacomet {

class Listener final : public RoomWaiter {
 public:
  struct Parts {
    struct ev_loop* loop;
    Admission* admission;
    Transport* transport;
    Control* control;
    Counters* counters;
    AcceptPressure* accept_pressure;
    ClientLimits* limits;
  };

  /// `flags` is a set of listener_flag.
  Listener(const Parts& parts, int fd, Ownership ownership, uint8_t protocol, uint8_t flags = 0);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener();

  /// Starts or stops accepting.
  void watch(bool on);

  /// Accepts next, before the remaining events of this loop iteration.
  void accept_next();

  /// The server drains. A listener whose protocol answers rejected peers goes on: its peers are
  /// rejected until the worker exits. Another one stops for good: it accepts queued connections
  /// first and shuts an own socket down, so that the kernel rejects peers at once. An inherited
  /// socket is left to its next owner, with its queue.
  void drain();

  void on_room() override;

 private:
  static void on_readable(struct ev_loop* loop, ev_io* watcher, int revents);
  static void on_timer(struct ev_loop* loop, ev_timer* timer, int revents);

  enum class Next { kContinue, kStop };
  void accept_batch(int count_max);
  Next accept_one();
  void receive(int fd, const sockaddr_storage& peer, Admission::Verdict verdict);
  [[nodiscard]] bool admit(int fd, const sockaddr_storage& peer, uint32_t* word);
  void note_wait(int fd);
  Next handle(const sys::Accepted& accepted);
  Next fail(Counter cause, const sys::Accepted& accepted);
  void reject(int fd, Counter cause);
  void count_rejected(Counter cause);
  void shed();
  bool has_waited_long();

  void pause();
  void pause_for(uint32_t ms);
  void pause_for_shortage();
  void resume();
  void log_rarely(const char* message, int error);

  Parts parts_;
  int fd_;
  Ownership ownership_;
  uint8_t protocol_;
  uint8_t flags_;
  bool is_wanted_ = false;
  bool is_paused_ = false;
  bool is_finished_ = false;
  /// Whether peers may have been queued while this listener did not accept: until it is empty.
  bool is_stale_ = true;
  uint32_t shortage_pause_ms_ = 0;
  /// The time at which the worker reached its limit; 0 while it has room.
  uint64_t full_since_ns_ = 0;
  /// The wait of the first peer of this batch; 0 if it was not measured.
  uint32_t first_waited_ms_ = 0;
  ev_tstamp note_after_s_ = 0.;
  RareLog log_;
  ev_io watcher_;
  ev_timer timer_;
};

}  // namespace megacomet

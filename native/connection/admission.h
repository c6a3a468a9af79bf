// Limits on new connections: this worker's, the server's, the accept rate, and the spare descriptor
// with which peers are rejected at EMFILE. Knows nothing of sockets or protocols.
#pragma once

#include <cstdint>
#include <vector>

#include "base/token_bucket.h"
#include "ipc/segment.h"

namespace megacomet {

/// A listener that waits for room.
class RoomWaiter {
 public:
  virtual void on_room() = 0;

 protected:
  ~RoomWaiter() = default;
};

class Admission {
 public:
  enum class Verdict {
    /// This worker has room; enter() still checks whether the manager has just taken it away.
    kAccept,
    /// The whole server is full, drains or is cut off: reject the peer.
    kReject,
    /// Only this worker is full: leave the peer in the queue, because the manager steers and may
    /// give this worker a part of the room of others.
    kWait,
  };

  Admission() = default;
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;
  ~Admission();

  void attach(Block* block);
  /// Wakes the waiting listeners too, because there may be room now.
  void set_limits(uint32_t connections_max, uint32_t rate_milli);

  /// The manager has shared the room of the server again.
  void set_server_full(bool is_full);

  /// From now on every peer is rejected: the server drains.
  void close_door() { is_door_closed_ = true; }
  [[nodiscard]] bool is_door_closed() const { return is_door_closed_; }

  /// Whether every peer is rejected for the present: the server lost the engine of its cluster.
  void set_cut_off(bool is_cut_off);
  [[nodiscard]] bool is_cut_off() const { return is_cut_off_; }

  /// What to do with the next peer in the queue.
  [[nodiscard]] Verdict verdict() const;

  /// Counts a connection in. False if the manager gave this worker's room away meanwhile.
  [[nodiscard]] bool enter();

  /// Counts a connection out and wakes the waiting listeners.
  void leave();

  [[nodiscard]] TokenBucket& tokens() { return tokens_; }
  [[nodiscard]] uint32_t connections() const { return connections_; }
  [[nodiscard]] uint32_t connections_max() const { return connections_max_; }

  /// Whether to report to the manager: once after each rise above kNearCapacityPercent of the
  /// limit, when a listener waits for room, and when a connection of a full server has closed.
  [[nodiscard]] bool take_report();

  void wait_for_room(RoomWaiter* waiter);

  /// Closes the spare descriptor, so that one accept can succeed. False if there is none.
  [[nodiscard]] bool lend_spare();
  /// Opens a spare descriptor; retried at each heartbeat while that fails.
  void restore_spare();

 private:
  void wake_waiters();

  Block* block_ = nullptr;
  Counters counters_;
  TokenBucket tokens_;
  std::vector<RoomWaiter*> waiters_;
  uint32_t connections_ = 0;
  uint32_t connections_max_ = 0;
  bool is_door_closed_ = false;
  bool is_cut_off_ = false;
  bool is_near_capacity_ = false;
  bool is_server_full_ = false;
  bool has_report_ = false;
  int spare_ = -1;
};

}  // namespace megacomet

// Whether one more connection may come in: this worker's limit, the server's, the rate, and the
// spare descriptor for turning peers away. Knows nothing of sockets or protocols.
#pragma once

#include <cstdint>
#include <vector>

#include "base/token_bucket.h"
#include "ipc/segment.h"

namespace megacomet {

/// Somebody who wants to know when there may be room for a connection.
class RoomWaiter {
 public:
  virtual void on_room() = 0;

 protected:
  ~RoomWaiter() = default;
};

class Admission {
 public:
  enum class Verdict {
    /// This worker has room; enter() still says whether the whole server has.
    kAccept,
    /// The whole server is full: say so to the peer.
    kRefuse,
    /// This worker is full, others are not: leave the peer in the queue; the manager steers.
    kWait,
  };

  Admission() = default;
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;
  ~Admission();

  void attach(Segment* segment, uint32_t slot);
  /// Also tells whoever waits for room: there may be some now.
  void set_limits(uint32_t connections_max, uint32_t server_connections_max, uint32_t rate_milli);

  /// What to do with the next peer in the queue.
  [[nodiscard]] Verdict verdict() const;

  /// Counts a connection in. False if another worker took the server's last place meanwhile.
  [[nodiscard]] bool enter();

  /// Counts a connection out and tells whoever waits for room.
  void leave();

  [[nodiscard]] TokenBucket& tokens() { return tokens_; }
  [[nodiscard]] uint32_t connections() const { return connections_; }
  [[nodiscard]] uint32_t connections_max() const { return connections_max_; }

  /// True once after each rise above kNearCapacityPercent of the limit.
  [[nodiscard]] bool take_near_capacity();

  void wait_for_room(RoomWaiter* waiter);

  /// Gives the spare descriptor up, so that one accept can succeed. False if there is none.
  [[nodiscard]] bool lend_spare();
  /// Takes a spare again; tried once more at each beat while it fails.
  void restore_spare();

 private:
  void wake_waiters();

  Shared* shared_ = nullptr;
  Counters counters_;
  TokenBucket tokens_;
  std::vector<RoomWaiter*> waiters_;
  uint32_t connections_ = 0;
  uint32_t connections_max_ = 0;
  uint32_t server_connections_max_ = 0;
  bool is_near_capacity_ = false;
  bool near_capacity_unsent_ = false;
  int spare_ = -1;
};

}  // namespace megacomet

// Which connection a dialer opens next, when, and between which addresses.
// Pure: the caller opens the sockets and reports the results. No socket, no clock.
#pragma once

#include <cstdint>
#include <vector>

#include "dialer/dial_schedule.h"
#include "ipc/load_frames.h"
#include "os/address.h"

namespace megacomet {

/// The next thing to do while connections open.
struct DialStep {
  enum class Action : uint8_t {
    /// Open the connection `index`, then report opened() or failed().
    kOpen,
    /// The rate allows no connect for `wait_ms`.
    kWait,
    /// The maximum number of connects is in flight.
    kFull,
    /// Nothing to start now, but connects are in flight or wait for a retry.
    kPending,
    /// Every connection is open or has failed.
    kFinished,
  };
  Action action;
  uint32_t index = 0;
  uint32_t wait_ms = 0;
  /// When the rate wanted this connect: before `now_ns` if the dialer is late.
  uint64_t due_ns = 0;
};

/// Connections are numbered from 0 in the order in which they start.
class DialPool {
 public:
  /// Sets addresses, rate and number of connections. Returns an error message, or null.
  const char* configure(const frame::Dial& order);

  [[nodiscard]] bool is_configured() const { return wanted_ != 0; }
  [[nodiscard]] uint32_t wanted() const { return wanted_; }

  /// Opens all connections again. From now on a connection that fails is retried.
  void restart();

  [[nodiscard]] DialStep next(uint64_t now_ns);

  [[nodiscard]] const Address& source(uint32_t index) const;
  [[nodiscard]] const Address& target(uint32_t index) const;
  /// The position of that target among all.
  [[nodiscard]] uint32_t target_index(uint32_t index) const;

  /// A connection of kOpen is open.
  void opened();
  /// A connection of kOpen did not open. It is retried after a restart(), else counted as failed.
  void failed(uint32_t index);
  /// An open connection was closed and must open again.
  void reopen(uint32_t index);

  /// Lets the failed connections retry. The caller's slow timer calls this, so that a server that
  /// rejects connections is not flooded with them.
  void release_retries();

  [[nodiscard]] uint32_t opened_count() const { return opened_; }
  [[nodiscard]] uint32_t failed_count() const { return failed_; }
  /// Connects that are neither open nor failed.
  [[nodiscard]] uint32_t in_flight() const { return in_flight_; }

 private:
  uint32_t take_index();

  std::vector<Address> targets_;
  std::vector<Address> sources_;
  DialSchedule schedule_;
  uint32_t wanted_ = 0;
  uint32_t started_ = 0;
  uint32_t in_flight_ = 0;
  uint32_t opened_ = 0;
  uint32_t failed_ = 0;
  bool retries_ = false;
  /// Connections to retry now, and those to retry after release_retries().
  std::vector<uint32_t> ready_;
  std::vector<uint32_t> delayed_;
};

}  // namespace megacomet

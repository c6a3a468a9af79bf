// The counts of a dialer, and the frames that report them to the manager of a run.
// Pure: the caller sends the frames. No clock.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/histogram.h"
#include "dialer/delivery_times.h"
#include "dialer/dial_pool.h"
#include "dialer/subscriber_load.h"
#include "ipc/load_frames.h"

namespace megacomet {

class DialReport {
 public:
  /// Begins a phase. The counts of echoes start at zero, and all others continue.
  void begin(DialPhase phase, uint64_t now_ns);
  void end() { phase_ = DialPhase::kNone; }
  [[nodiscard]] DialPhase phase() const { return phase_; }

  /// A connection is sent its first message of this phase.
  void count_asked() { ++asked_; }
  void count_echo(uint32_t latency_us);
  /// A connection is open, this long after it was due.
  void count_opened(uint32_t latency_us) { latency_.record(latency_us); }
  void count_wrong_echo() { ++wrong_; }
  /// A connection is lost before its echo was complete.
  void count_broken_echo() { ++broken_; }
  /// A connection had no echo in the whole phase.
  void count_silent() { ++silent_; }
  /// A connection failed to open. `cause` is an errno, or kHttpFailure and a status.
  void count_failure(int cause);
  /// Gives a cause the text that its frame has.
  void name_cause(int cause, const char* text) { names_.emplace(cause, text); }
  /// An open connection was lost.
  void count_loss(int cause);

  /// Whether a value of Progress changed between phases.
  [[nodiscard]] bool has_news(const SubscriberLoad& subscribers) const;
  [[nodiscard]] frame::Progress progress(const DialPool& pool,
                                         const SubscriberLoad& subscribers,
                                         bool is_finished,
                                         uint64_t now_ns);
  /// Whether a count of failures() changed after the latest call of failures().
  [[nodiscard]] bool has_new_causes() const { return causes_ != causes_reported_; }
  [[nodiscard]] frame::Failures failures();
  [[nodiscard]] frame::Latency latency() const;

 private:
  DialPhase phase_ = DialPhase::kNone;
  uint64_t phase_began_ns_ = 0;
  uint64_t asked_ = 0;
  uint64_t echoes_ = 0;
  uint64_t wrong_ = 0;
  uint64_t broken_ = 0;
  uint64_t silent_ = 0;
  Histogram latency_;
  std::map<int, uint64_t> failures_;
  std::map<int, uint64_t> losses_;
  std::map<int, std::string> names_;
  uint64_t causes_ = 0;
  uint32_t lost_ = 0;
  /// The values in the last Progress or Failures frame.
  uint64_t causes_reported_ = 0;
  uint32_t lost_reported_ = 0;
  uint64_t messages_reported_ = 0;
};

/// The frame for the delivery times of one message.
[[nodiscard]] frame::DeliveryTimes report_of(const Delivery& delivery);

}  // namespace megacomet

// Messages on their way to many subscribers, in slices of a millisecond.
// A broadcast must not keep the loop from accepting. Rules that keep slices correct meanwhile:
//  - of each channel one message is on its way at a time;
//  - it walks the subscribers from the last to the first. Who leaves is replaced by the last, who
//    has been visited; who comes is appended, behind the walker;
//  - who is visited twice, or came later, is told apart by its wants_from (cursor.h).

#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/bounds.h"
#include "base/queue.h"
#include "os/sys.h"
#include "pubsub/channels.h"

namespace megacomet {

class FanoutHandler {
 public:
  /// A message for the subscriber `fd` of a channel. It may leave, close, or subscribe elsewhere.
  virtual void on_fanout(uint32_t row, uint32_t fd, Message& message) = 0;

 protected:
  ~FanoutHandler() = default;
};

class Fanout {
 public:
  /// `clock` gives nanoseconds that never go back.
  Fanout(Channels* channels, FanoutHandler* handler, uint64_t (*clock)() = sys::monotonic_ns)
      : channels_(channels), handler_(handler), clock_(clock) {}
  Fanout(const Fanout&) = delete;
  Fanout& operator=(const Fanout&) = delete;

  /// Begins a turn of the loop, in which so many messages to one subscriber may go at once: those
  /// of a server with a channel for each client, for which a job each would be most of the work.
  void begin_iteration() { at_once_left_ = bounds::kFanoutBatch; }

  /// Sends a message at once, or queues it for the subscribers that its channel has when its turn
  /// comes. Calls on_fanout() in the first case.
  void add(uint32_t row, const Ref<Message>& message);

  /// Sends for about kFanoutSliceNs. Returns whether something is left that is due now.
  bool pump();

  /// Messages that are not through, of all channels.
  [[nodiscard]] size_t unfinished() const { return unfinished_; }
  /// Those of one channel.
  [[nodiscard]] size_t unfinished(uint32_t row) const {
    const Job* job = job_of(row);
    return job == nullptr ? 0 : job->messages.size();
  }
  [[nodiscard]] size_t unfinished_bytes() const { return unfinished_bytes_; }
  /// Whether no more should be added for now. Then nothing is spread over a time: it has to end.
  [[nodiscard]] bool is_full() const {
    return unfinished_ > bounds::kFanoutMessagesMax || unfinished_bytes_ > bounds::kFanoutBytesMax;
  }

  /// Calls visit(message) for what is not through of one channel, in the order of the numbers.
  template <typename Visit>
  void visit(uint32_t row, Visit visit) const {
    const Job* job = job_of(row);
    if (job == nullptr) return;
    for (const Ref<Message>& message : job->messages) visit(message);
  }

  /// The channel is gone; it had no subscribers any more.
  void forget(uint32_t row);

 private:
  /// A channel with a message on its way.
  struct Job {
    uint32_t row;
    /// Subscribers still to be visited lie below.
    uint32_t next;
    /// The first is on its way.
    Queue<Ref<Message>> messages;
    uint64_t started_ns;
    uint32_t total;
  };

  /// Null where nothing is on its way.
  [[nodiscard]] const Job* job_of(uint32_t row) const {
    return row < jobs_of_.size() ? jobs_of_[row] : nullptr;
  }
  [[nodiscard]] bool goes_at_once(uint32_t row, const Message& message) const;
  void begin(Job* job, uint64_t now_ns);
  /// Visits at most `quota` subscribers. True if the job has nothing left at all.
  bool run(Job* job, uint32_t quota, uint64_t now_ns);
  [[nodiscard]] uint32_t due(const Job& job, uint64_t now_ns) const;

  Channels* channels_;
  FanoutHandler* handler_;
  uint64_t (*clock_)();
  std::vector<std::unique_ptr<Job>> jobs_;
  /// By row; null where nothing is on its way.
  std::vector<Job*> jobs_of_;
  size_t turn_ = 0;
  size_t unfinished_ = 0;
  size_t unfinished_bytes_ = 0;
  uint32_t at_once_left_ = 0;
};

}  // namespace megacomet

// Sending messages to many subscribers, in slices of time.
//
// A broadcast must not keep the loop from accepting. Three rules keep the slices correct while
// subscribers join and leave:
//  - of each channel one message is sent at a time;
//  - it visits the subscribers from the last to the first. The last, which was visited, takes the
//    position of one that leaves; one that joins is appended behind the visitor;
//  - a subscriber that is visited twice, or joined later, is recognised by its next wanted number
//    (cursor.h).
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
  /// With Fanout::kAllChannels it is called for each `fd` below fds_end(), in use or not.
  virtual void on_fanout(uint32_t channel, uint32_t fd, Message& message) = 0;

  /// The number after the highest descriptor of a subscriber.
  [[nodiscard]] virtual uint32_t fds_end() const { return 0; }

 protected:
  ~FanoutHandler() = default;
};

class Fanout {
 public:
  /// In place of a channel: for every subscriber of the worker.
  static constexpr uint32_t kAllChannels = Channels::kNone;

  /// `clock` gives monotonic nanoseconds.
  Fanout(Channels* channels, FanoutHandler* handler, uint64_t (*clock)() = sys::monotonic_ns)
      : channels_(channels), handler_(handler), clock_(clock) {}
  Fanout(const Fanout&) = delete;
  Fanout& operator=(const Fanout&) = delete;

  /// Begins a loop iteration, in which kFanoutBatch messages to one subscriber each may be sent at
  /// once: with a channel for each client, a job for each message would be most of the work.
  void begin_iteration() { at_once_left_ = bounds::kFanoutBatch; }

  /// Sends a message at once, by on_fanout(), or queues it. A queued message goes to the
  /// subscribers that its channel has when its fan-out begins.
  void add(uint32_t channel, const Ref<Message>& message);

  /// Sends until the clock reaches `end_ns`, and at least one batch. Returns whether more is due
  /// now.
  bool pump(uint64_t end_ns);

  /// Sends every unfinished message now, however long that takes.
  void finish();

  /// Messages of all channels whose fan-out has not ended.
  [[nodiscard]] size_t unfinished() const { return unfinished_; }
  /// The same of one channel, with those of all channels: the messages that visit() gives.
  [[nodiscard]] size_t unfinished(uint32_t channel) const {
    return pending(job_of(channel)).size() + pending(common_job_).size();
  }
  /// The lowest number of an unfinished message; UINT64_MAX without one.
  [[nodiscard]] uint64_t lowest_number() const;
  [[nodiscard]] size_t unfinished_bytes() const { return unfinished_bytes_; }
  /// Whether no more should be added for now. Then no message is spread over a time.
  [[nodiscard]] bool is_full() const {
    return unfinished_ > bounds::kFanoutMessagesMax || unfinished_bytes_ > bounds::kFanoutBytesMax;
  }

  /// Calls visit(message) for the unfinished messages of one channel, with those of all channels,
  /// in the order of their numbers.
  template <typename Visit>
  void visit(uint32_t channel, Visit visit) const {
    Pending own = pending(job_of(channel));
    Pending common = pending(common_job_);
    while (own.at != own.end || common.at != common.end) {
      const bool is_own = common.at == common.end ||
                          (own.at != own.end && (*own.at)->number < (*common.at)->number);
      visit(is_own ? *own.at++ : *common.at++);
    }
  }

  /// The channel closes; it has no subscribers.
  void forget(uint32_t channel);

 private:
  /// A channel with unfinished messages.
  struct Job {
    uint32_t channel;
    /// Subscribers below this position have not been visited.
    uint32_t next;
    /// The first is being sent.
    Queue<Ref<Message>> messages;
    uint64_t started_ns;
    uint32_t total;
  };

  /// Unfinished messages of a job.
  struct Pending {
    const Ref<Message>* at;
    const Ref<Message>* end;
    [[nodiscard]] size_t size() const { return static_cast<size_t>(end - at); }
  };

  /// Of a channel; null without unfinished messages.
  [[nodiscard]] const Job* job_of(uint32_t channel) const {
    return channel < jobs_of_.size() ? jobs_of_[channel] : nullptr;
  }
  [[nodiscard]] Job*& slot_of(uint32_t channel);
  [[nodiscard]] static Pending pending(const Job* job) {
    return job == nullptr ? Pending{} : Pending{job->messages.begin(), job->messages.end()};
  }
  [[nodiscard]] uint32_t audience(uint32_t channel) const;
  [[nodiscard]] bool goes_at_once(uint32_t channel, const Message& message) const;
  void begin(Job* job, uint64_t now_ns);
  /// Visits at most `quota` subscribers. True if the job has ended.
  bool run(Job* job, uint32_t quota, uint64_t now_ns);
  [[nodiscard]] uint32_t due(const Job& job, uint64_t now_ns) const;

  Channels* channels_;
  FanoutHandler* handler_;
  uint64_t (*clock_)();
  std::vector<std::unique_ptr<Job>> jobs_;
  /// By channel; null without unfinished messages.
  std::vector<Job*> jobs_of_;
  /// That of kAllChannels; null without unfinished messages.
  Job* common_job_ = nullptr;
  size_t next_job_ = 0;
  size_t unfinished_ = 0;
  size_t unfinished_bytes_ = 0;
  uint32_t at_once_left_ = 0;
  /// No message is spread over a time.
  bool is_finishing_ = false;
};

}  // namespace megacomet

// Slices of a broadcast. See fanout.h.
#include "pubsub/fanout.h"

#include <algorithm>

#include "base/check.h"

namespace megacomet {

bool Fanout::goes_at_once(uint32_t channel, const Message& message) const {
  // Otherwise it would overtake another message at a subscriber of both channels.
  return unfinished_ == 0 && at_once_left_ > 0 && message.spread_ms == 0 &&
         channel != kAllChannels && audience(channel) == 1;
}

Fanout::Job*& Fanout::slot_of(uint32_t channel) {
  if (channel == kAllChannels) return common_job_;
  if (jobs_of_.size() <= channel) jobs_of_.resize(channel + 1, nullptr);
  return jobs_of_[channel];
}

/// Subscribers of a channel; for all channels the descriptors that may be one.
uint32_t Fanout::audience(uint32_t channel) const {
  if (channel == kAllChannels) return handler_->fds_end();
  return static_cast<uint32_t>(channels_->at(channel).subscribers.size());
}

void Fanout::add(uint32_t channel, const Ref<Message>& message) {
  if (goes_at_once(channel, *message)) {
    --at_once_left_;
    handler_->on_fanout(channel, channels_->at(channel).subscribers.front(), *message);
    return;
  }
  ++unfinished_;
  unfinished_bytes_ += message->data.size();
  Job*& slot = slot_of(channel);
  Job* job = slot;
  if (job != nullptr) {
    job->messages.push_back(message);
    return;
  }
  jobs_.push_back(std::make_unique<Job>());
  job = jobs_.back().get();
  job->channel = channel;
  job->messages.push_back(message);
  slot = job;
  begin(job, clock_());
}

void Fanout::begin(Job* job, uint64_t now_ns) {
  job->total = audience(job->channel);
  job->next = job->total;
  job->started_ns = now_ns;
}

/// Subscribers that may be visited now: all, unless the message is spread over a time, no other
/// waits for it, and the fan-out is not full.
uint32_t Fanout::due(const Job& job, uint64_t now_ns) const {
  const uint64_t spread_ns = uint64_t{job.messages.front()->spread_ms} * 1'000'000;
  const uint64_t elapsed_ns = now_ns - job.started_ns;
  const bool is_spread = job.messages.size() == 1 && !is_finishing_ && !is_full();
  if (!is_spread || elapsed_ns >= spread_ns) return job.next;
  const auto left =
      static_cast<uint32_t>(job.total - static_cast<uint64_t>(job.total) * elapsed_ns / spread_ns);
  return job.next > left ? job.next - left : 0;
}

bool Fanout::run(Job* job, uint32_t quota, uint64_t now_ns) {
  const Ref<Message> message = job->messages.front();
  const bool is_common = job->channel == kAllChannels;
  quota = std::min(quota, due(*job, now_ns));
  while (true) {
    // Read again each time: a delivery may close connections and open channels.
    if (!is_common) job->next = std::min(job->next, audience(job->channel));
    if (job->next == 0) break;
    if (quota == 0) return false;
    --quota;
    --job->next;
    const uint32_t fd = is_common ? job->next : channels_->at(job->channel).subscribers[job->next];
    handler_->on_fanout(job->channel, fd, *message);
  }
  --unfinished_;
  unfinished_bytes_ -= message->data.size();
  job->messages.pop_front();
  if (job->messages.empty()) return true;
  begin(job, now_ns);
  return false;
}

bool Fanout::pump(uint64_t end_ns) {
  uint64_t now_ns = clock_();
  size_t waiting = 0;
  // Until the time is up, or no job has a subscriber that is due.
  while (!jobs_.empty() && waiting < jobs_.size()) {
    if (next_job_ >= jobs_.size()) next_job_ = 0;
    Job* job = jobs_[next_job_].get();
    if (due(*job, now_ns) == 0 && job->next > 0) {
      ++waiting;
      ++next_job_;
      continue;
    }
    waiting = 0;
    if (run(job, bounds::kFanoutBatch, now_ns)) {
      slot_of(job->channel) = nullptr;
      std::swap(jobs_[next_job_], jobs_.back());
      jobs_.pop_back();
    } else {
      ++next_job_;
    }
    now_ns = clock_();
    if (now_ns >= end_ns) return !jobs_.empty();
  }
  return false;
}

void Fanout::finish() {
  is_finishing_ = true;
  while (pump(UINT64_MAX)) {
  }
  is_finishing_ = false;
}

uint64_t Fanout::lowest_number() const {
  uint64_t lowest = UINT64_MAX;
  for (const std::unique_ptr<Job>& job : jobs_) {
    lowest = std::min(lowest, job->messages.front()->number);
  }
  return lowest;
}

void Fanout::forget(uint32_t channel) {
  if (job_of(channel) == nullptr) return;
  const auto is_of_channel = [channel](const std::unique_ptr<Job>& job) {
    return job->channel == channel;
  };
  const auto found = std::find_if(jobs_.begin(), jobs_.end(), is_of_channel);
  MC_CHECK(found != jobs_.end());
  for (const Ref<Message>& message : (*found)->messages) {
    --unfinished_;
    unfinished_bytes_ -= message->data.size();
  }
  jobs_of_[channel] = nullptr;
  jobs_.erase(found);
}

}  // namespace megacomet

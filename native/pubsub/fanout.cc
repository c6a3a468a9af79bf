// Slices of a broadcast. See fanout.h.
#include "pubsub/fanout.h"

#include <algorithm>

#include "base/check.h"

namespace megacomet {

bool Fanout::goes_at_once(uint32_t row, const Message& message) const {
  // Behind another it would overtake that at a subscriber of both.
  return unfinished_ == 0 && at_once_left_ > 0 && message.spread_ms == 0 &&
         channels_->at(row).subscribers.size() == 1;
}

void Fanout::add(uint32_t row, const Ref<Message>& message) {
  if (goes_at_once(row, *message)) {
    --at_once_left_;
    handler_->on_fanout(row, channels_->at(row).subscribers.front(), *message);
    return;
  }
  if (jobs_of_.size() <= row) jobs_of_.resize(row + 1, nullptr);
  ++unfinished_;
  unfinished_bytes_ += message->data.size();
  Job* job = jobs_of_[row];
  if (job != nullptr) {
    job->messages.push_back(message);
    return;
  }
  jobs_.push_back(std::make_unique<Job>());
  job = jobs_.back().get();
  job->row = row;
  job->messages.push_back(message);
  jobs_of_[row] = job;
  begin(job, clock_());
}

void Fanout::begin(Job* job, uint64_t now_ns) {
  job->total = static_cast<uint32_t>(channels_->at(job->row).subscribers.size());
  job->next = job->total;
  job->started_ns = now_ns;
}

/// Subscribers that may be visited now: all, unless the message is spread over a time and nothing
/// waits behind it, nor outside.
uint32_t Fanout::due(const Job& job, uint64_t now_ns) const {
  const uint64_t spread_ns = uint64_t{job.messages.front()->spread_ms} * 1'000'000;
  const uint64_t elapsed_ns = now_ns - job.started_ns;
  if (job.messages.size() > 1 || elapsed_ns >= spread_ns || is_full()) return job.next;
  const auto left =
      static_cast<uint32_t>(job.total - static_cast<uint64_t>(job.total) * elapsed_ns / spread_ns);
  return job.next > left ? job.next - left : 0;
}

bool Fanout::run(Job* job, uint32_t quota, uint64_t now_ns) {
  const Ref<Message> message = job->messages.front();
  quota = std::min(quota, due(*job, now_ns));
  while (true) {
    // Anew each time: a delivery may close connections and open rows.
    const std::vector<uint32_t>& subscribers = channels_->at(job->row).subscribers;
    job->next = std::min(job->next, static_cast<uint32_t>(subscribers.size()));
    if (job->next == 0) break;
    if (quota == 0) return false;
    --quota;
    const uint32_t fd = subscribers[--job->next];
    handler_->on_fanout(job->row, fd, *message);
  }
  --unfinished_;
  unfinished_bytes_ -= message->data.size();
  job->messages.pop_front();
  if (job->messages.empty()) return true;
  begin(job, now_ns);
  return false;
}

bool Fanout::pump() {
  uint64_t now_ns = clock_();
  const uint64_t end_ns = now_ns + bounds::kFanoutSliceNs;
  size_t waiting = 0;
  // Until the time is up, or every job in a row had nothing that is due.
  while (!jobs_.empty() && waiting < jobs_.size()) {
    if (turn_ >= jobs_.size()) turn_ = 0;
    Job* job = jobs_[turn_].get();
    if (due(*job, now_ns) == 0 && job->next > 0) {
      ++waiting;
      ++turn_;
      continue;
    }
    waiting = 0;
    if (run(job, bounds::kFanoutBatch, now_ns)) {
      jobs_of_[job->row] = nullptr;
      std::swap(jobs_[turn_], jobs_.back());
      jobs_.pop_back();
    } else {
      ++turn_;
    }
    now_ns = clock_();
    if (now_ns >= end_ns) return !jobs_.empty();
  }
  return false;
}

void Fanout::forget(uint32_t row) {
  if (job_of(row) == nullptr) return;
  const auto is_of_row = [row](const std::unique_ptr<Job>& job) { return job->row == row; };
  const auto found = std::find_if(jobs_.begin(), jobs_.end(), is_of_row);
  MC_CHECK(found != jobs_.end());
  for (const Ref<Message>& message : (*found)->messages) {
    --unfinished_;
    unfinished_bytes_ -= message->data.size();
  }
  jobs_of_[row] = nullptr;
  jobs_.erase(found);
}

}  // namespace megacomet

// Counts of a dialer, and their frames. See dial_report.h.
#include "dialer/dial_report.h"

namespace megacomet {

namespace {

void add_buckets(const Histogram& histogram, Numbers* out) {
  for (size_t bucket = 0; bucket < Histogram::kBuckets; ++bucket) {
    if (histogram.count(bucket) == 0) continue;
    out->push_back(bucket);
    out->push_back(histogram.count(bucket));
  }
}

}  // namespace

void DialReport::begin(DialPhase phase, uint64_t now_ns) {
  phase_ = phase;
  phase_began_ns_ = now_ns;
  echoes_ = wrong_ = 0;
  latency_.clear();
}

void DialReport::count_echo(uint32_t latency_us) {
  ++echoes_;
  latency_.record(latency_us);
}

void DialReport::count_loss(int cause) {
  ++lost_;
  ++failures_[cause];
}

bool DialReport::has_news(const SubscriberLoad& subscribers) const {
  return lost_ != lost_reported_ || subscribers.messages() != messages_reported_;
}

frame::Progress DialReport::progress(const DialPool& pool,
                                     const SubscriberLoad& subscribers,
                                     bool is_finished,
                                     uint64_t now_ns) {
  frame::Progress progress;
  progress.phase = static_cast<uint8_t>(phase_);
  progress.finished = is_finished ? 1 : 0;
  progress.opened = pool.opened_count();
  progress.failed = pool.failed_count();
  progress.lost = lost_reported_ = lost_;
  progress.answered = echoes_;
  progress.wrong = wrong_;
  progress.messages = echoes_;
  progress.received = messages_reported_ = subscribers.messages();
  progress.gaps = subscribers.gaps();
  progress.elapsed_us = (now_ns - phase_began_ns_) / 1000;
  return progress;
}

frame::Failures DialReport::failures() const {
  frame::Failures frame;
  for (const auto& [cause, count] : failures_) {
    frame.counts.push_back(static_cast<uint64_t>(cause));
    frame.counts.push_back(count);
  }
  return frame;
}

frame::Latency DialReport::latency() const {
  frame::Latency frame;
  frame.min_us = latency_.min_us();
  frame.max_us = latency_.max_us();
  add_buckets(latency_, &frame.buckets);
  return frame;
}

frame::DeliveryTimes report_of(const Delivery& delivery) {
  frame::DeliveryTimes frame;
  frame.key = delivery.key;
  frame.count = delivery.count;
  frame.first_ns = delivery.first_ns;
  frame.last_ns = delivery.last_ns;
  add_buckets(delivery.since_first, &frame.buckets);
  return frame;
}

}  // namespace megacomet

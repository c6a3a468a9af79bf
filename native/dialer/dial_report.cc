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

Numbers pairs_of(const std::map<int, uint64_t>& counts) {
  Numbers pairs;
  for (const auto& [cause, count] : counts) {
    pairs.push_back(static_cast<uint64_t>(cause));
    pairs.push_back(count);
  }
  return pairs;
}

}  // namespace

void DialReport::begin(DialPhase phase, uint64_t now_ns) {
  phase_ = phase;
  phase_began_ns_ = now_ns;
  asked_ = echoes_ = wrong_ = broken_ = silent_ = 0;
  latency_.clear();
}

void DialReport::count_echo(uint32_t latency_us) {
  ++echoes_;
  latency_.record(latency_us);
}

void DialReport::count_failure(int cause) {
  ++failures_[cause];
  ++causes_;
}

void DialReport::count_loss(int cause) {
  ++lost_;
  ++losses_[cause];
  ++causes_;
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
  progress.asked = asked_;
  progress.broken = broken_;
  progress.silent = silent_;
  progress.answered = echoes_;
  progress.wrong = wrong_;
  progress.messages = echoes_;
  progress.received = messages_reported_ = subscribers.messages();
  progress.gaps = subscribers.gaps();
  progress.elapsed_us = (now_ns - phase_began_ns_) / 1000;
  return progress;
}

frame::Failures DialReport::failures() {
  causes_reported_ = causes_;
  frame::Failures frame;
  frame.counts = pairs_of(failures_);
  frame.losses = pairs_of(losses_);
  for (const auto& [cause, text] : names_) {
    frame.named.push_back(static_cast<uint64_t>(cause));
    frame.names.push_back(text);
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

// Pacing, retries and addresses of outbound connections. See dial_pool.h.
#include "dialer/dial_pool.h"

#include "base/bounds.h"
#include "base/check.h"

namespace megacomet {

namespace {

bool parse_addresses(const Texts& texts, std::vector<Address>* out) {
  for (const std::string& text : texts) {
    Address address{};
    if (!parse_address(text, &address)) return false;
    out->push_back(address);
  }
  return !out->empty();
}

}  // namespace

const char* DialPool::configure(const frame::Dial& order) {
  if (is_configured()) return "already dialing";
  if (!parse_addresses(order.targets, &targets_)) return "a target is not a numeric address";
  if (!parse_addresses(order.sources, &sources_)) return "a source is not a numeric address";
  wanted_ = order.connections;
  schedule_.set_rate(order.rate_milli);
  return nullptr;
}

void DialPool::restart() {
  MC_CHECK(is_configured());
  started_ = in_flight_ = opened_ = 0;
  retries_ = true;
}

DialStep DialPool::next(uint64_t now_ns) {
  using Action = DialStep::Action;
  if (started_ == wanted_ && ready_.empty()) {
    const bool is_finished = in_flight_ == 0 && delayed_.empty();
    return {is_finished ? Action::kFinished : Action::kPending};
  }
  if (in_flight_ >= bounds::kDialInFlightMax) return {Action::kFull};
  const uint64_t due_ns = schedule_.due_ns(now_ns);
  if (due_ns > now_ns) return {Action::kWait, 0, DialSchedule::wait_ms(due_ns, now_ns)};
  schedule_.advance();
  ++in_flight_;
  return {Action::kOpen, take_index(), 0, due_ns};
}

uint32_t DialPool::take_index() {
  if (ready_.empty()) return started_++;
  const uint32_t index = ready_.back();
  ready_.pop_back();
  return index;
}

const Address& DialPool::source(uint32_t index) const {
  return sources_[index % sources_.size()];
}

const Address& DialPool::target(uint32_t index) const {
  return targets_[target_index(index)];
}

uint32_t DialPool::target_index(uint32_t index) const {
  return static_cast<uint32_t>(index / sources_.size() % targets_.size());
}

void DialPool::opened() {
  --in_flight_;
  ++opened_;
}

void DialPool::failed(uint32_t index) {
  --in_flight_;
  if (retries_) {
    delayed_.push_back(index);
  } else {
    ++failed_;
  }
}

void DialPool::reopen(uint32_t index) {
  --opened_;
  delayed_.push_back(index);
}

void DialPool::release_retries() {
  ready_.insert(ready_.end(), delayed_.begin(), delayed_.end());
  delayed_.clear();
}

}  // namespace megacomet

// Numbers, events and lists of subscribers. See presence.h.
#include "hub/presence.h"

#include <algorithm>
#include <unordered_map>

#include "os/sys.h"

namespace megacomet {

namespace {

/// Channels that one second's search for ended retention covers, at least.
constexpr uint32_t kRetentionChannels = 1024;

/// Free records of channels that are not worth giving back: about 128 KiB.
constexpr size_t kFreeChannels = 1024;

/// A page of subscribers. Each identity is in it once, however many connections share it.
class PresentPage {
 public:
  PresentPage(Access* access, uint32_t request) : access_(access) { frame_.request = request; }

  [[nodiscard]] bool is_full() const {
    return members_ >= bounds::kPresencePageMax || text_bytes_ >= bounds::kPresencePageBytesMax;
  }

  void add(const Connection& connection) {
    const ConnectionName name = name_of(connection);
    frame_.members.push_back(name.fd);
    frame_.members.push_back(name.generation);
    frame_.members.push_back(owner_of(connection));
    ++members_;
  }

  void set_below(uint32_t below) { frame_.below = below; }
  [[nodiscard]] const frame::Present& frame() const { return frame_; }

 private:
  uint64_t owner_of(const Connection& connection) {
    const uint32_t identity = access_->identity(connection);
    if (identity == SharedTexts::kNone) return 0;
    const auto [found, is_new] = owners_.try_emplace(identity, owners_.size() + 1);
    if (is_new) {
      frame_.users.emplace_back(access_->user_of(identity));
      frame_.infos.emplace_back(access_->info_of(identity));
      text_bytes_ += frame_.users.back().size() + frame_.infos.back().size();
    }
    return found->second;
  }

  Access* access_;
  frame::Present frame_;
  std::unordered_map<uint32_t, uint64_t> owners_;
  uint32_t members_ = 0;
  size_t text_bytes_ = 0;
};

}  // namespace

void Presence::note(uint32_t index) {
  Channel& channel = parts_.channels->at(index);
  if (!channel.is_used()) {
    const uint32_t retention_s = is_near_capacity() ? 0 : channel_retention_s_;
    channel.retained_until = static_cast<uint16_t>(now_ + retention_s);
  }
  if (channel.is_used() == channel.is_retained) {
    channel.is_retained = !channel.is_retained;
    channel.is_retained ? ++retained_ : --retained_;
    if (channel.is_retained && is_near_capacity()) excess_.push_back(index);
  }
  if (channel.is_change_noted) return;
  channel.is_change_noted = true;
  changed_.push_back(index);
}

void Presence::send_counts() {
  for (const uint32_t index : changed_) {
    Channel& channel = parts_.channels->at(index);
    channel.is_change_noted = false;
    // A connection with a pending replay subscribes when that ends.
    const auto count = static_cast<uint32_t>(channel.subscribers.size()) + channel.replays;
    // Without subscribers the interest lasts until the retention ends.
    const bool is_wanted = channel.is_interest_sent || channel.is_used();
    const bool is_known = channel.is_interest_sent && channel.count_sent == count;
    if (channel.name.empty() || !is_wanted || is_known) continue;
    channel.count_sent = count;
    channel.is_interest_sent = true;
    send_interest(channel);
  }
  changed_.clear();
}

void Presence::report() {
  send_counts();
  drop_excess();
  if (report_request_ != 0) send_step();
}

void Presence::drop_excess() {
  for (const uint32_t index : excess_) {
    if (parts_.channels->at(index).is_retained) forget(index);
  }
  excess_.clear();
}

void Presence::send_interest(const Channel& channel) {
  frame::Interest interest;
  interest.channel = channel.name;
  interest.count = channel.count_sent;
  interest.wanted = 1;
  parts_.control->send(interest);
}

void Presence::report_again(const frame::InterestRequest& request) {
  report_request_ = request.request;
  report_position_ = 0;
}

void Presence::send_step() {
  if (parts_.control->is_full()) return;
  const uint32_t capacity = parts_.channels->capacity();
  const uint32_t end = std::min(capacity, report_position_ + bounds::kInterestStep);
  for (; report_position_ < end; ++report_position_) {
    const Channel& channel = parts_.channels->at(report_position_);
    if (channel.is_interest_sent) send_interest(channel);
  }
  if (report_position_ < capacity) return;
  parts_.control->send(frame::InterestEnd{report_request_});
  report_request_ = 0;
}

void Presence::tick(uint16_t now) {
  now_ = now;
  report();
  const uint32_t capacity = parts_.channels->capacity();
  const uint32_t count = std::max(kRetentionChannels, capacity / (is_near_capacity() ? 2 : 8));
  for (uint32_t checked = 0; checked < std::min(count, capacity); ++checked) {
    if (retention_position_ >= capacity) retention_position_ = 0;
    const uint32_t index = retention_position_++;
    const Channel& channel = parts_.channels->at(index);
    if (channel.name.empty() || channel.is_used()) continue;
    if (static_cast<int16_t>(channel.retained_until - now_) < 0) forget(index);
  }
  // A used channel near the end keeps the memory; so this does not happen every second.
  const size_t free_min = std::max<size_t>(kFreeChannels, parts_.channels->capacity() / 2);
  if (parts_.channels->trim(free_min)) sys::trim_heap();
}

void Presence::forget(uint32_t index) {
  const Channel& channel = parts_.channels->at(index);
  if (channel.is_interest_sent) {
    frame::Interest interest;
    interest.channel = channel.name;
    parts_.control->send(interest);
  }
  if (channel.is_retained) --retained_;
  parts_.fanout->forget(index);
  parts_.channels->close(index);
}

bool Presence::is_of_join_leave(const Channel& channel) const {
  // The manager publishes to the channel, which cannot be a pattern.
  return !channel.is_pattern() && parts_.namespaces->of(channel.name).has_join_leave;
}

void Presence::send_event(uint32_t index, const Connection& connection, bool is_there) {
  // Many joined at once while the manager does not read: it still receives the numbers.
  if (parts_.control->is_full()) return parts_.counters->add(Counter::kEventsDroppedTotal);
  const ConnectionName name = name_of(connection);
  frame::Presence event;
  event.present = is_there ? 1 : 0;
  event.fd = name.fd;
  event.generation = name.generation;
  event.channel = parts_.channels->at(index).name;
  const uint32_t identity = parts_.access->identity(connection);
  if (identity != SharedTexts::kNone) {
    event.user = parts_.access->user_of(identity);
    event.info = parts_.access->info_of(identity);
  }
  parts_.control->send(event);
}

void Presence::answer(const frame::Query& query) {
  PresentPage page(parts_.access, query.request);
  const uint32_t index = parts_.channels->find(query.channel);
  if (index == Channels::kNone) return parts_.control->send(page.frame());
  // From the last to the first: the last takes the position of one that leaves between two pages,
  // and was listed already.
  const std::vector<uint32_t>& all = parts_.channels->at(index).subscribers;
  size_t at = std::min<size_t>(query.below, all.size());
  while (at > 0 && !page.is_full()) {
    page.add(*parts_.connections->at(static_cast<int>(all[--at])));
  }
  page.set_below(static_cast<uint32_t>(at));
  parts_.control->send(page.frame());
}

}  // namespace megacomet

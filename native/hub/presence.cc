// Counts, comings and goings, and lists. See presence.h.
#include "hub/presence.h"

#include <algorithm>

namespace megacomet {

namespace {

/// Rows that one second's look for forgotten channels covers, at least.
constexpr uint32_t kChannelRetentionRows = 1024;

}  // namespace

void Presence::note(uint32_t row) {
  Channel& channel = parts_.channels->at(row);
  if (!channel.is_used()) {
    const uint32_t channel_retention_s = is_near_capacity() ? 0 : channel_retention_s_;
    channel.retained_until = static_cast<uint16_t>(now_ + channel_retention_s);
  }
  if (channel.is_change_noted) return;
  channel.is_change_noted = true;
  changed_.push_back(row);
}

void Presence::tell_counts() {
  for (const uint32_t row : changed_) {
    Channel& channel = parts_.channels->at(row);
    channel.is_change_noted = false;
    // Who asks what it missed is a subscriber as soon as the answer is there.
    const auto count = static_cast<uint32_t>(channel.subscribers.size()) + channel.asking;
    // Without subscribers the interest stays until nobody has come back for a while.
    const bool is_wanted = channel.is_wanted_told || channel.is_used();
    const bool is_known = channel.is_wanted_told && channel.count_told == count;
    if (channel.name.empty() || !is_wanted || is_known) continue;
    channel.count_told = count;
    channel.is_wanted_told = true;
    frame::Interest interest;
    interest.channel = channel.name;
    interest.count = count;
    interest.wanted = 1;
    parts_.control->send(interest);
  }
  changed_.clear();
}

void Presence::tick(uint16_t now) {
  now_ = now;
  tell_counts();
  const uint32_t capacity = parts_.channels->capacity();
  const uint32_t count = std::max(kChannelRetentionRows, capacity / (is_near_capacity() ? 2 : 8));
  for (uint32_t looked = 0; looked < std::min(count, capacity); ++looked) {
    if (retention_position_ >= capacity) retention_position_ = 0;
    const uint32_t row = retention_position_++;
    Channel& channel = parts_.channels->at(row);
    if (channel.name.empty() || channel.is_used()) continue;
    if (static_cast<int16_t>(channel.retained_until - now_) >= 0) continue;
    if (channel.is_wanted_told) {
      frame::Interest interest;
      interest.channel = channel.name;
      parts_.control->send(interest);
    }
    parts_.fanout->forget(row);
    parts_.channels->close(row);
  }
}

void Presence::tell(uint32_t row, const Connection& connection, bool is_there) {
  // A crowd that comes at once while the manager does not read: its counts stay true.
  if (parts_.control->is_full()) return parts_.counters->add(Counter::kEventsDroppedTotal);
  frame::Presence event;
  event.there = is_there ? 1 : 0;
  event.fd = static_cast<uint32_t>(connection.fd());
  event.generation = connection.generation;
  event.channel = parts_.channels->at(row).name;
  parts_.control->send(event);
}

void Presence::answer(const frame::Query& query) {
  frame::Present page;
  page.question = query.question;
  const uint32_t row = parts_.channels->find(query.channel);
  if (row != Channels::kNone) {
    // From the last to the first: who leaves meanwhile is replaced by the last, who was told.
    const std::vector<uint32_t>& all = parts_.channels->at(row).subscribers;
    const size_t end = std::min<size_t>(query.below, all.size());
    const size_t begin = end - std::min<size_t>(end, bounds::kPresencePageMax);
    page.below = static_cast<uint32_t>(begin);
    for (size_t at = end; at > begin; --at) {
      const Connection* connection = parts_.connections->at(static_cast<int>(all[at - 1]));
      page.members.push_back(all[at - 1]);
      page.members.push_back(connection->generation);
    }
  }
  parts_.control->send(page);
}

}  // namespace megacomet

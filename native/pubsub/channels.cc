// The table of channels. See channels.h.
#include "pubsub/channels.h"

#include <algorithm>

#include "base/bounds.h"
#include "base/check.h"
#include "base/hash.h"

namespace megacomet {

namespace {

constexpr size_t kSlotsMin = 64;

}  // namespace

void Channels::remember(uint32_t row, const Ref<Message>& message) {
  Channel& channel = rows_[row];
  channel.tail.push_back(message);
  note_remembered(row, *message);
  while (channel.tail.size() > bounds::kTailMessagesMax ||
         channel.tail_bytes > bounds::kTailBytesMax) {
    forget_oldest(&channel);
  }
  forget_beyond();
}

void Channels::pass(uint32_t row, uint64_t number) {
  Channel& channel = rows_[row];
  // Those before it too: with it the channel may keep less of them.
  while (!channel.tail.empty()) forget_oldest(&channel);
  channel.tail_floor = number;
  channel.is_whole = false;
}

void Channels::register_fd(uint32_t row, const std::vector<Ref<Message>>& kept) {
  Channel& channel = rows_[row];
  const auto is_ephemeral = [](const Ref<Message>& message) { return message->is_ephemeral(); };
  if (std::any_of(kept.begin(), kept.end(), is_ephemeral)) return;
  // What came by itself since then is there already.
  const uint64_t known = channel.tail.empty() ? UINT64_MAX : channel.tail.front()->number;
  const auto end = std::find_if(kept.begin(), kept.end(), [known](const Ref<Message>& message) {
    return message->number >= known;
  });
  size_t bytes = channel.tail_bytes;
  for (auto at = kept.begin(); at != end; ++at) bytes += (*at)->data.size();
  const size_t count = channel.tail.size() + static_cast<size_t>(end - kept.begin());
  if (count > bounds::kTailMessagesMax || bytes > bounds::kTailBytesMax) return;
  channel.is_whole = true;
  channel.tail.insert(channel.tail.begin(), kept.begin(), end);
  for (auto at = kept.begin(); at != end; ++at) note_remembered(row, **at);
  forget_beyond();
}

void Channels::note_remembered(uint32_t row, const Message& message) {
  rows_[row].tail_bytes += message.data.size();
  tails_bytes_ += message.data.size();
  remembered_.push_back({row, message.number});
}

void Channels::forget_oldest(Channel* channel) {
  const Message& oldest = *channel->tail.front();
  channel->tail_bytes -= oldest.data.size();
  tails_bytes_ -= oldest.data.size();
  channel->tail_floor = std::max(channel->tail_floor, oldest.number);
  channel->is_whole = false;
  channel->tail.erase(channel->tail.begin());
}

void Channels::forget_beyond() {
  while (remembered_.size() > bounds::kTailsMessagesMax || tails_bytes_ > bounds::kTailsBytesMax) {
    const Remembered oldest = remembered_.front();
    remembered_.pop_front();
    Channel& channel = rows_[oldest.row];
    // Nothing, where its channel has forgotten it already; also what was adopted, and is older.
    while (!channel.tail.empty() && channel.tail.front()->number <= oldest.number) {
      forget_oldest(&channel);
    }
  }
}

std::vector<Ref<Message>> Channels::tails(const std::vector<uint32_t>& rows,
                                          uint64_t number) const {
  std::vector<Ref<Message>> found;
  for (const uint32_t row : rows) {
    for (const Ref<Message>& message : rows_[row].tail) {
      if (message->number > number) found.push_back(message);
    }
  }
  const auto by_number = [](const Ref<Message>& one, const Ref<Message>& other) {
    return one->number < other->number;
  };
  std::sort(found.begin(), found.end(), by_number);
  // A name and a pattern that matches it both have it.
  const auto is_same = [](const Ref<Message>& one, const Ref<Message>& other) {
    return one->number == other->number;
  };
  found.erase(std::unique(found.begin(), found.end(), is_same), found.end());
  return found;
}

/// FNV-1a with a final mix: short names differ in few bits, and the table takes the low ones.
uint64_t Channels::hash_of(std::string_view name) {
  uint64_t hash = fnv1a(name);
  hash ^= hash >> 32U;
  hash *= 0x9e3779b97f4a7c15;
  return hash ^ (hash >> 29U);
}

size_t Channels::slot_of(std::string_view name, uint64_t hash) const {
  const size_t mask = slots_.size() - 1;
  size_t slot = hash & mask;
  while (slots_[slot] != kNone) {
    const Channel& channel = rows_[slots_[slot]];
    if (channel.hash == hash && channel.name == name) break;
    slot = (slot + 1) & mask;
  }
  return slot;
}

uint32_t Channels::find(std::string_view name) const {
  if (slots_.empty()) return kNone;
  return slots_[slot_of(name, hash_of(name))];
}

uint32_t Channels::open(std::string_view name) {
  MC_CHECK(!name.empty());
  if ((static_cast<size_t>(size_) + 1) * 2 > slots_.size()) grow();
  const uint64_t hash = hash_of(name);
  const size_t slot = slot_of(name, hash);
  if (slots_[slot] != kNone) return slots_[slot];
  uint32_t row = static_cast<uint32_t>(rows_.size());
  if (free_.empty()) {
    rows_.emplace_back();
  } else {
    row = free_.back();
    free_.pop_back();
  }
  Channel& channel = rows_[row];
  channel.name.assign(name);
  channel.hash = hash;
  slots_[slot] = row;
  ++size_;
  if (channel.is_pattern()) ++patterns_;
  return row;
}

void Channels::close(uint32_t row) {
  Channel& channel = rows_[row];
  MC_CHECK(!channel.name.empty() && !channel.is_used());
  const size_t mask = slots_.size() - 1;
  size_t hole = slot_of(channel.name, channel.hash);
  slots_[hole] = kNone;
  // Those that stand behind the hole because it was taken move up, so that no search stops early.
  for (size_t slot = (hole + 1) & mask; slots_[slot] != kNone; slot = (slot + 1) & mask) {
    const size_t home = rows_[slots_[slot]].hash & mask;
    if (((slot - home) & mask) < ((slot - hole) & mask)) continue;
    slots_[hole] = slots_[slot];
    slots_[slot] = kNone;
    hole = slot;
  }
  if (channel.is_pattern()) --patterns_;
  tails_bytes_ -= channel.tail_bytes;
  channel = Channel();
  free_.push_back(row);
  --size_;
}

void Channels::grow() {
  slots_.assign(slots_.empty() ? kSlotsMin : slots_.size() * 2, kNone);
  const size_t mask = slots_.size() - 1;
  for (uint32_t row = 0; row < rows_.size(); ++row) {
    if (rows_[row].name.empty()) continue;
    size_t slot = rows_[row].hash & mask;
    while (slots_[slot] != kNone) slot = (slot + 1) & mask;
    slots_[slot] = row;
  }
}

uint32_t Channels::add(uint32_t row, uint32_t fd) {
  std::vector<uint32_t>& subscribers = rows_[row].subscribers;
  subscribers.push_back(fd);
  return static_cast<uint32_t>(subscribers.size() - 1);
}

uint32_t Channels::remove(uint32_t row, uint32_t position) {
  std::vector<uint32_t>& subscribers = rows_[row].subscribers;
  MC_CHECK(position < subscribers.size());
  const uint32_t last = subscribers.back();
  const bool is_last = position + 1 == subscribers.size();
  subscribers[position] = last;
  subscribers.pop_back();
  // A row that everybody left keeps no memory for those who may come back.
  if (subscribers.empty()) std::vector<uint32_t>().swap(subscribers);
  return is_last ? kNone : last;
}

}  // namespace megacomet

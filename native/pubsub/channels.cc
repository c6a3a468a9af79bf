// The table of channels. See channels.h.
#include "pubsub/channels.h"

#include <algorithm>

#include "base/bounds.h"
#include "base/check.h"
#include "base/hash.h"

namespace megacomet {

void Channels::remember(uint32_t index, const Ref<Message>& message) {
  Channel& channel = channels_[index];
  channel.recent.push_back(message);
  note_remembered(index, *message);
  while (channel.recent.size() > bounds::kChannelCacheMessagesMax ||
         channel.recent_bytes > bounds::kChannelCacheBytesMax) {
    evict_oldest(&channel);
  }
  evict_beyond_bounds();
}

void Channels::skip(uint32_t index, uint64_t number) {
  Channel& channel = channels_[index];
  // Earlier ones too: they cannot be replayed without it.
  while (!channel.recent.empty()) evict_oldest(&channel);
  channel.evicted_to = number;
  channel.has_full_history = false;
}

void Channels::skip_all(uint64_t number) {
  for (uint32_t index = 0; index < capacity(); ++index) {
    if (!channels_[index].name.empty()) skip(index, number);
  }
}

void Channels::fill_cache(uint32_t index, const std::vector<Ref<Message>>& history) {
  Channel& channel = channels_[index];
  const auto is_ephemeral = [](const Ref<Message>& message) { return message->is_ephemeral(); };
  if (std::any_of(history.begin(), history.end(), is_ephemeral)) return;
  // Later messages are in the cache already.
  const uint64_t known = channel.recent.empty() ? UINT64_MAX : channel.recent.front()->number;
  const auto end = std::find_if(history.begin(), history.end(), [known](const auto& message) {
    return message->number >= known;
  });
  size_t bytes = channel.recent_bytes;
  for (auto at = history.begin(); at != end; ++at) bytes += (*at)->data.size();
  const size_t count = channel.recent.size() + static_cast<size_t>(end - history.begin());
  if (count > bounds::kChannelCacheMessagesMax || bytes > bounds::kChannelCacheBytesMax) return;
  channel.has_full_history = true;
  channel.recent.insert(channel.recent.begin(), history.begin(), end);
  for (auto at = history.begin(); at != end; ++at) note_remembered(index, **at);
  evict_beyond_bounds();
}

void Channels::note_remembered(uint32_t index, const Message& message) {
  channels_[index].recent_bytes += message.data.size();
  recent_bytes_ += message.data.size();
  remembered_.push_back({index, message.number});
}

void Channels::evict_oldest(Channel* channel) {
  const Message& oldest = *channel->recent.front();
  channel->recent_bytes -= oldest.data.size();
  recent_bytes_ -= oldest.data.size();
  channel->evicted_to = std::max(channel->evicted_to, oldest.number);
  channel->has_full_history = false;
  channel->recent.erase(channel->recent.begin());
}

void Channels::evict_beyond_bounds() {
  while (remembered_.size() > bounds::kCacheMessagesMax || recent_bytes_ > bounds::kCacheBytesMax) {
    const Remembered oldest = remembered_.front();
    remembered_.pop_front();
    // The channel was closed, and trim() has removed its index.
    if (oldest.channel >= channels_.size()) continue;
    Channel& channel = channels_[oldest.channel];
    // The channel may have evicted it already. fill_cache() may have added older ones since.
    while (!channel.recent.empty() && channel.recent.front()->number <= oldest.number) {
      evict_oldest(&channel);
    }
  }
}

std::vector<Ref<Message>> Channels::recent_after(const std::vector<uint32_t>& channels,
                                                 uint64_t number) const {
  std::vector<Ref<Message>> found;
  for (const uint32_t index : channels) {
    for (const Ref<Message>& message : channels_[index].recent) {
      if (message->number > number) found.push_back(message);
    }
  }
  const auto by_number = [](const Ref<Message>& one, const Ref<Message>& other) {
    return one->number < other->number;
  };
  std::sort(found.begin(), found.end(), by_number);
  // A name and a pattern that matches it both cache it.
  const auto is_same = [](const Ref<Message>& one, const Ref<Message>& other) {
    return one->number == other->number;
  };
  found.erase(std::unique(found.begin(), found.end(), is_same), found.end());
  return found;
}

uint32_t Channels::find(std::string_view name) const {
  return index_.find(mixed_hash(name),
                     [&](uint32_t index) { return channels_[index].name == name; });
}

uint32_t Channels::open(std::string_view name) {
  MC_CHECK(!name.empty());
  const uint32_t known = find(name);
  if (known != kNone) return known;
  uint32_t index = static_cast<uint32_t>(channels_.size());
  if (free_.empty()) {
    channels_.emplace_back();
  } else {
    index = free_.back();
    free_.pop_back();
  }
  Channel& channel = channels_[index];
  channel.name.assign(name);
  index_.insert(mixed_hash(name), index);
  if (channel.is_pattern()) ++patterns_;
  return index;
}

void Channels::close(uint32_t index) {
  Channel& channel = channels_[index];
  MC_CHECK(!channel.name.empty() && !channel.is_used());
  index_.erase(mixed_hash(channel.name), index);
  if (channel.is_pattern()) --patterns_;
  recent_bytes_ -= channel.recent_bytes;
  channel = Channel();
  free_.push_back(index);
}

/// Indices cannot move, so only the free ones at the end are removed. The lowest free index is used
/// first, so that channels gather at the start.
bool Channels::trim(size_t free_min) {
  size_t end = channels_.size();
  while (end > 0 && channels_[end - 1].name.empty()) --end;
  if (channels_.size() - end < free_min) return false;
  channels_.resize(end);
  channels_.shrink_to_fit();
  free_.clear();
  for (size_t index = channels_.size(); index-- > 0;) {
    if (channels_[index].name.empty()) free_.push_back(static_cast<uint32_t>(index));
  }
  free_.shrink_to_fit();
  index_.trim();
  return true;
}

uint32_t Channels::add(uint32_t index, uint32_t fd) {
  std::vector<uint32_t>& subscribers = channels_[index].subscribers;
  subscribers.push_back(fd);
  return static_cast<uint32_t>(subscribers.size() - 1);
}

uint32_t Channels::remove(uint32_t index, uint32_t position) {
  std::vector<uint32_t>& subscribers = channels_[index].subscribers;
  MC_CHECK(position < subscribers.size());
  const uint32_t last = subscribers.back();
  const bool is_last = position + 1 == subscribers.size();
  subscribers[position] = last;
  subscribers.pop_back();
  // A channel without subscribers keeps no memory for them.
  if (subscribers.empty()) std::vector<uint32_t>().swap(subscribers);
  return is_last ? kNone : last;
}

}  // namespace megacomet

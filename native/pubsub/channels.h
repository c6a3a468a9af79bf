// The channels of one worker: their names, subscribers and recent messages.
// A channel is named by its index. A subscriber is a descriptor in its channel's list.
// Knows nothing of fan-out, connections or the manager.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/queue.h"
#include "base/row_index.h"
#include "pubsub/message.h"

namespace megacomet {

/// A channel that has subscribers in this worker, or had some until lately.
struct Channel {
  /// Empty for a free index.
  std::string name;
  std::vector<uint32_t> subscribers;
  /// The recent-message cache, for clients that reconnect: every message above `evicted_to`.
  std::vector<Ref<Message>> recent;
  /// The eviction watermark: messages up to this number may be missing from `recent`.
  uint64_t evicted_to = 0;
  size_t recent_bytes = 0;
  /// Connections with a pending replay of this channel.
  uint32_t replays = 0;
  /// The number of subscribers that was last sent to the manager.
  uint32_t count_sent = 0;
  /// Tick at which a channel without subscribers is forgotten.
  uint16_t retained_until = 0;
  /// Whether every message above evicted_to reaches this worker.
  bool is_live = false;
  /// Whether `recent` has all that the manager keeps. Then it also serves cursors of another epoch,
  /// which all clients have after a restart of the manager.
  bool has_full_history = false;
  bool is_change_noted = false;
  /// Whether the manager sends the channel's messages to this worker.
  bool is_interest_sent = false;
  /// Whether it is counted as one without subscribers that is kept for a while.
  bool is_retained = false;

  [[nodiscard]] bool is_used() const { return !subscribers.empty() || replays > 0; }
  [[nodiscard]] bool is_pattern() const { return !name.empty() && name.back() == '*'; }
};

class Channels {
 public:
  static constexpr uint32_t kNone = RowIndex::kNone;

  /// The index of a name; kNone if there is none.
  [[nodiscard]] uint32_t find(std::string_view name) const;
  /// The index of a name, made if there is none. It is valid until close().
  uint32_t open(std::string_view name);
  /// Forgets a channel that is not used.
  void close(uint32_t channel);
  /// Gives the memory of the free indices at the end back if there are at least `free_min`. Returns
  /// whether it did.
  bool trim(size_t free_min);

  [[nodiscard]] Channel& at(uint32_t channel) { return channels_[channel]; }
  [[nodiscard]] const Channel& at(uint32_t channel) const { return channels_[channel]; }
  /// Channels, and indices in all, free ones included.
  [[nodiscard]] uint32_t size() const { return static_cast<uint32_t>(index_.size()); }
  [[nodiscard]] uint32_t capacity() const { return static_cast<uint32_t>(channels_.size()); }

  /// Adds a subscriber and returns its position.
  uint32_t add(uint32_t channel, uint32_t fd);
  /// Removes a subscriber. The last one moves to its position and is returned; kNone if none moved.
  uint32_t remove(uint32_t channel, uint32_t position);

  /// Puts a message into the cache, and evicts the oldest beyond the bounds: those of the channel,
  /// and those of all channels together.
  void remember(uint32_t channel, const Ref<Message>& message);
  /// A message of a live channel that no cache may keep: it empties the cache.
  void skip(uint32_t channel, uint64_t number);
  /// The same for all channels.
  void skip_all(uint64_t number);
  /// Fills the cache with the manager's whole history, if it fits.
  void fill_cache(uint32_t channel, const std::vector<Ref<Message>>& history);
  /// Bytes of data in all caches.
  [[nodiscard]] size_t recent_bytes() const { return recent_bytes_; }

  /// The cached messages of several channels above `number`, in order and each once.
  [[nodiscard]] std::vector<Ref<Message>> recent_after(const std::vector<uint32_t>& channels,
                                                       uint64_t number) const;

  /// Calls visit(index) for the channel of that name and for each pattern "prefix/*" that matches
  /// it.
  template <typename Visit>
  void match(std::string_view name, Visit visit) const {
    const uint32_t exact = find(name);
    if (exact != kNone) visit(exact);
    if (patterns_ == 0) return;
    std::string pattern;
    for (size_t slash = name.find('/'); slash != std::string_view::npos;
         slash = name.find('/', slash + 1)) {
      pattern.assign(name.substr(0, slash + 1)).push_back('*');
      const uint32_t index = find(pattern);
      if (index != kNone) visit(index);
    }
  }

 private:
  /// A message that was put into a cache; it may have been evicted.
  struct Remembered {
    uint32_t channel;
    uint64_t number;
  };

  void note_remembered(uint32_t index, const Message& message);
  void evict_oldest(Channel* channel);
  void evict_beyond_bounds();

  std::vector<Channel> channels_;
  std::vector<uint32_t> free_;
  RowIndex index_;
  uint32_t patterns_ = 0;
  Queue<Remembered> remembered_;
  size_t recent_bytes_ = 0;
};

}  // namespace megacomet

// The channels of one worker: names, rows, and who subscribes.
// A subscriber is a descriptor in its channel's row; what it wants of the row is its own business.
// Knows nothing of messages on their way, connections or the manager.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/queue.h"
#include "pubsub/message.h"

namespace megacomet {

/// A channel that somebody here subscribes to, or did so lately.
struct Channel {
  /// Empty for a row that is free.
  std::string name;
  std::vector<uint32_t> subscribers;
  /// The last messages, for polls that come back: every one above `tail_floor` is here.
  std::vector<Ref<Message>> tail;
  uint64_t tail_floor = 0;
  size_t tail_bytes = 0;
  uint64_t hash = 0;
  /// Questions to the manager that wait for an answer about this channel.
  uint32_t asking = 0;
  /// What the manager was told last.
  uint32_t count_told = 0;
  uint16_t retained_until = 0;
  /// Whether every message above tail_floor reaches this worker by itself.
  bool is_live = false;
  /// Whether the tail has all that the manager keeps: then it serves who comes from another epoch,
  /// as all do after a restart of the manager.
  bool is_whole = false;
  bool is_change_noted = false;
  /// Whether the manager sends messages of it to this worker.
  bool is_wanted_told = false;

  [[nodiscard]] bool is_used() const { return !subscribers.empty() || asking > 0; }
  [[nodiscard]] bool is_pattern() const { return !name.empty() && name.back() == '*'; }
};

class Channels {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  /// The row of a name, kNone if there is none.
  [[nodiscard]] uint32_t find(std::string_view name) const;
  /// The row of a name, made if there is none. Rows keep their numbers until close().
  uint32_t open(std::string_view name);
  /// Forgets a channel that nobody uses.
  void close(uint32_t row);

  [[nodiscard]] Channel& at(uint32_t row) { return rows_[row]; }
  [[nodiscard]] const Channel& at(uint32_t row) const { return rows_[row]; }
  /// Rows in use, and the number of all rows, free ones included.
  [[nodiscard]] uint32_t size() const { return size_; }
  [[nodiscard]] uint32_t capacity() const { return static_cast<uint32_t>(rows_.size()); }

  /// Adds a subscriber and returns its position in the row.
  uint32_t add(uint32_t row, uint32_t fd);
  /// Removes a subscriber. The last one takes its place, and is returned, for whoever keeps its
  /// position; kNone if nobody moved.
  uint32_t remove(uint32_t row, uint32_t position);

  /// Keeps a message for those who come back soon, and forgets the oldest past the bounds: those of
  /// the row, and those of all rows together.
  void remember(uint32_t row, const Ref<Message>& message);
  /// A message of a live row that no tail may keep: who missed it asks the manager.
  void pass(uint32_t row, uint64_t number);
  /// Keeps what the manager has of a row, from its first message on, if there is room for all.
  void register_fd(uint32_t row, const std::vector<Ref<Message>>& kept);
  /// Of the data in all tails.
  [[nodiscard]] size_t tails_bytes() const { return tails_bytes_; }

  /// What the tails of several rows hold above `number`, in order and each message once.
  [[nodiscard]] std::vector<Ref<Message>> tails(const std::vector<uint32_t>& rows,
                                                uint64_t number) const;

  /// Calls visit(row) for the channel of that name and for each pattern "prefix/*" that matches it.
  template <typename Visit>
  void match(std::string_view name, Visit visit) const {
    const uint32_t exact = find(name);
    if (exact != kNone) visit(exact);
    if (patterns_ == 0) return;
    std::string pattern;
    for (size_t slash = name.find('/'); slash != std::string_view::npos;
         slash = name.find('/', slash + 1)) {
      pattern.assign(name.substr(0, slash + 1)).push_back('*');
      const uint32_t row = find(pattern);
      if (row != kNone) visit(row);
    }
  }

 private:
  /// One that was put into a tail; it may have left it since.
  struct Remembered {
    uint32_t row;
    uint64_t number;
  };

  void note_remembered(uint32_t row, const Message& message);
  void forget_oldest(Channel* channel);
  void forget_beyond();
  [[nodiscard]] static uint64_t hash_of(std::string_view name);
  [[nodiscard]] size_t slot_of(std::string_view name, uint64_t hash) const;
  void grow();

  std::vector<Channel> rows_;
  std::vector<uint32_t> free_;
  /// Open addressing over row numbers; a power of two, at most half full.
  std::vector<uint32_t> slots_;
  uint32_t size_ = 0;
  uint32_t patterns_ = 0;
  Queue<Remembered> remembered_;
  size_t tails_bytes_ = 0;
};

}  // namespace megacomet

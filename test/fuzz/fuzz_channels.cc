// Fuzz target for the table of channels: a history of opening, subscribing, leaving, closing,
// remembering and matching, as the input says, against a std::map that does the same.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bounds.h"
#include "base/check.h"
#include "pubsub/channels.h"

using namespace megacomet;

namespace {

/// The input as numbers; zeros once it is used up.
class Source {
 public:
  Source(const uint8_t* bytes, size_t size) : bytes_(bytes), left_(size) {}
  [[nodiscard]] bool is_empty() const { return left_ == 0; }
  uint8_t next() {
    if (left_ == 0) return 0;
    --left_;
    return *bytes_++;
  }

 private:
  const uint8_t* bytes_;
  size_t left_;
};

/// One of some hundred names: enough for the table to grow and to collide, few enough to meet
/// again.
std::string name_from(Source* source) {
  static constexpr std::string_view kParts[] = {"a", "b", "/", "a/", "/*", "*", "news/", ""};
  const uint8_t first = source->next();
  if (first < 128) return "c" + std::to_string(first);
  std::string name = "n";
  for (uint8_t bits = source->next(), part = 0; part < 2; ++part, bits >>= 3U) {
    name += kParts[bits & 7U];
  }
  if ((first & 1) != 0) name += kParts[(first >> 1U) & 7U];
  return name;
}

struct ModelChannel {
  uint32_t index = 0;
  std::vector<uint32_t> subscribers;
  uint32_t replays = 0;
  /// Numbers of the messages in its recent, and their bytes.
  std::vector<std::pair<uint64_t, size_t>> recent;
  /// The last number that it was given: a message comes once.
  uint64_t last = 0;
  /// A registered message may be older than the forgotten ones.
  bool has_registered = false;
};

class History {
 public:
  void step(Source* source) {
    const uint8_t action = source->next();
    const std::string name = name_from(source);
    const auto known = model_.find(name);
    MC_CHECK(channels_.find(name) ==
             (known == model_.end() ? Channels::kNone : known->second.index));
    switch (action % 8) {
      case 0:
      case 1:
        return open(name);
      case 2:
        if (known != model_.end()) add(&known->second, source->next());
        return;
      case 3:
        if (known != model_.end()) remove(&known->second, source->next());
        return;
      case 4:
        if (known != model_.end()) close(known);
        return;
      case 5:
        if (known != model_.end()) remember(&known->second, source->next());
        return;
      case 6:
        if ((action & 16) != 0) return trim(action >> 5U);
        return match(name);
      default:
        if (known == model_.end()) return;
        if ((action & 16) != 0) return register_fd(&known->second, source->next());
        return ask(&known->second, action);
    }
  }

  /// Everything, index by index; too slow for each step.
  void check_all() {
    MC_CHECK(channels_.size() == model_.size() && channels_.capacity() >= model_.size());
    for (const auto& [name, expected] : model_) {
      MC_CHECK(channels_.find(name) == expected.index);
      const Channel& channel = channels_.at(expected.index);
      MC_CHECK(channel.name == name && channel.subscribers == expected.subscribers);
      check_tail(channel, expected);
    }
  }

  void check_tails(uint64_t above) {
    std::vector<uint32_t> rows;
    std::vector<uint64_t> expected;
    for (const auto& [name, channel] : model_) {
      rows.push_back(channel.index);
      for (const auto& [number, bytes] : channel.recent) {
        if (number > above) expected.push_back(number);
      }
    }
    std::sort(expected.begin(), expected.end());
    expected.erase(std::unique(expected.begin(), expected.end()), expected.end());
    std::vector<uint64_t> found;
    for (const Ref<Message>& message : channels_.recent_after(rows, above)) {
      found.push_back(message->number);
    }
    MC_CHECK(found == expected);
  }

 private:
  using Model = std::map<std::string, ModelChannel>;

  void open(const std::string& name) {
    const uint32_t index = channels_.open(name);
    const auto [known, is_new] = model_.try_emplace(name);
    if (is_new) {
      known->second.index = index;
      const Channel& channel = channels_.at(index);
      MC_CHECK(!channel.is_used() && channel.recent.empty() && channel.evicted_to == 0);
    }
    MC_CHECK(known->second.index == index);
  }

  void trim(size_t free_min) {
    const uint32_t before = channels_.capacity();
    const bool is_trimmed = channels_.trim(free_min);
    MC_CHECK(is_trimmed ? before - channels_.capacity() >= free_min
                        : channels_.capacity() == before);
  }

  void add(ModelChannel* expected, uint32_t fd) {
    MC_CHECK(channels_.add(expected->index, fd) == expected->subscribers.size());
    expected->subscribers.push_back(fd);
  }

  void remove(ModelChannel* expected, uint8_t which) {
    std::vector<uint32_t>& subscribers = expected->subscribers;
    if (subscribers.empty()) return;
    const uint32_t position = which % subscribers.size();
    const uint32_t last = subscribers.back();
    const bool is_last = position + 1 == subscribers.size();
    MC_CHECK(channels_.remove(expected->index, position) == (is_last ? Channels::kNone : last));
    subscribers[position] = last;
    subscribers.pop_back();
  }

  void close(Model::iterator known) {
    const ModelChannel& expected = known->second;
    const bool is_used = !expected.subscribers.empty() || expected.replays > 0;
    MC_CHECK(channels_.at(expected.index).is_used() == is_used);
    if (is_used) return;
    channels_.close(expected.index);
    model_.erase(known);
  }

  /// A message now and then goes to two channels, as one does that a pattern has too.
  void remember(ModelChannel* expected, uint8_t size) {
    if ((size & 1) == 0) ++number_;
    if (expected->last == number_) return;
    expected->last = number_;
    Ref<Message> message = make_ref<Message>();
    message->number = number_;
    message->data.assign(size_t{size} * 600, 'x');
    channels_.remember(expected->index, message);
    std::vector<std::pair<uint64_t, size_t>>& recent = expected->recent;
    recent.emplace_back(number_, message->data.size());
    remembered_.emplace_back(expected->index, number_);
    size_t bytes = bytes_of(*expected);
    while (recent.size() > bounds::kChannelCacheMessagesMax ||
           bytes > bounds::kChannelCacheBytesMax) {
      bytes -= recent.front().second;
      recent.erase(recent.begin());
    }
    forget_beyond();
  }

  /// Up to three messages from before all that the recent has.
  void register_fd(ModelChannel* expected, uint8_t size) {
    std::vector<std::pair<uint64_t, size_t>>& recent = expected->recent;
    const uint64_t end = recent.empty() ? number_ + 1 : recent.front().first;
    std::vector<Ref<Message>> kept;
    std::vector<std::pair<uint64_t, size_t>> both;
    for (uint64_t number = end > 3 ? end - 3 : 1; number < end; ++number) {
      Ref<Message> message = make_ref<Message>();
      message->number = number;
      message->data.assign(size_t{size} * 200, 'x');
      both.emplace_back(number, message->data.size());
      kept.push_back(std::move(message));
    }
    channels_.fill_cache(expected->index, kept);
    const size_t bytes = bytes_of(*expected) + kept.size() * size * 200;
    if (both.size() + recent.size() > bounds::kChannelCacheMessagesMax) return;
    if (bytes > bounds::kChannelCacheBytesMax) return;
    for (const auto& entry : both) remembered_.emplace_back(expected->index, entry.first);
    both.insert(both.end(), recent.begin(), recent.end());
    recent.swap(both);
    expected->last = std::max(expected->last, number_);
    expected->has_registered = true;
    forget_beyond();
  }

  static size_t bytes_of(const ModelChannel& channel) {
    size_t bytes = 0;
    for (const auto& entry : channel.recent) bytes += entry.second;
    return bytes;
  }

  [[nodiscard]] size_t bytes_of_all() const {
    size_t bytes = 0;
    for (const auto& known : model_) bytes += bytes_of(known.second);
    return bytes;
  }

  /// The oldest of all go first, where all together are too many.
  void forget_beyond() {
    while (remembered_.size() > bounds::kCacheMessagesMax ||
           bytes_of_all() > bounds::kCacheBytesMax) {
      const auto [index, number] = remembered_.front();
      remembered_.erase(remembered_.begin());
      for (auto& known : model_) {
        auto& recent = known.second.recent;
        if (known.second.index != index) continue;
        while (!recent.empty() && recent.front().first <= number) recent.erase(recent.begin());
      }
    }
    MC_CHECK(channels_.recent_bytes() == bytes_of_all());
  }

  static void check_tail(const Channel& channel, const ModelChannel& expected) {
    size_t bytes = 0;
    MC_CHECK(channel.recent.size() == expected.recent.size());
    for (size_t at = 0; at < expected.recent.size(); ++at) {
      const Message& message = *channel.recent[at];
      MC_CHECK(message.number == expected.recent[at].first);
      MC_CHECK(expected.has_registered || message.number > channel.evicted_to);
      bytes += message.data.size();
    }
    MC_CHECK(channel.recent_bytes == bytes);
  }

  /// Messages are published to names, and never to patterns.
  void match(const std::string& name) const {
    if (name.find('*') != std::string::npos) return;
    std::vector<uint32_t> expected;
    const auto note = [&](const std::string& wanted) {
      const auto known = model_.find(wanted);
      if (known != model_.end()) expected.push_back(known->second.index);
    };
    note(name);
    for (size_t at = 0; at < name.size(); ++at) {
      if (name[at] == '/') note(name.substr(0, at + 1) + "*");
    }
    std::vector<uint32_t> found;
    channels_.match(name, [&](uint32_t index) { found.push_back(index); });
    MC_CHECK(found == expected);
  }

  void ask(ModelChannel* expected, uint8_t action) {
    const bool is_more = (action & 8) != 0;
    if (!is_more && expected->replays == 0) return;
    expected->replays += is_more ? 1 : UINT32_MAX;
    channels_.at(expected->index).replays = expected->replays;
  }

  Channels channels_;
  Model model_;
  /// Rows and numbers of all that was put into a recent.
  std::vector<std::pair<uint32_t, uint64_t>> remembered_;
  uint64_t number_ = 1;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Source source(data, size);
  History history;
  while (!source.is_empty()) history.step(&source);
  history.check_all();
  history.check_tails(size % 8);
  return 0;
}

// Tests of the table of channels: against a plain map, and patterns.
#include "pubsub/channels.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/bounds.h"
#include "support/unit.h"

using namespace megacomet;

TEST("channels are found, opened and closed as in a plain map, over many collisions") {
  Channels channels;
  std::map<std::string, uint32_t> model;
  for (int step = 0; step < 50'000; ++step) {
    const std::string name = "c" + std::to_string(unit::upto(300));
    const auto known = model.find(name);
    if (!EXPECT_EQUAL(channels.find(name), known == model.end() ? Channels::kNone : known->second))
      return;
    if (unit::upto(2) > 0) {
      const uint32_t index = channels.open(name);
      if (known != model.end() && !EXPECT_EQUAL(index, known->second)) return;
      model[name] = index;
      if (!EXPECT(channels.at(index).name == name)) return;
    } else if (known != model.end()) {
      channels.close(known->second);
      model.erase(known);
    }
    if (!EXPECT_EQUAL(channels.size(), model.size())) return;
  }
  std::set<uint32_t> indices;
  for (const auto& [name, index] : model) indices.insert(index);
  EXPECT_EQUAL(indices.size(), model.size());
}

TEST("the last subscriber takes the position of one that leaves, and is returned") {
  Channels channels;
  const uint32_t index = channels.open("a");
  EXPECT_EQUAL(channels.add(index, 10), 0U);
  EXPECT_EQUAL(channels.add(index, 11), 1U);
  EXPECT_EQUAL(channels.add(index, 12), 2U);
  EXPECT_EQUAL(channels.remove(index, 0), 12U);
  EXPECT(channels.at(index).subscribers == (std::vector<uint32_t>{12, 11}));
  EXPECT_EQUAL(channels.remove(index, 1), Channels::kNone);
  EXPECT_EQUAL(channels.remove(index, 0), Channels::kNone);
  EXPECT_EQUAL(channels.at(index).subscribers.capacity(), 0U);
}

TEST("a name matches its own channel and each pattern above it, at slashes only") {
  Channels channels;
  std::vector<std::string> names = {
      "news/*", "news/sport/*", "new", "news", "news/sport", "other/*"};
  for (const std::string& name : names) channels.open(name);
  const auto matches = [&](const std::string& name) {
    std::set<std::string> found;
    channels.match(name, [&](uint32_t index) { found.insert(channels.at(index).name); });
    return found;
  };
  EXPECT(matches("news") == (std::set<std::string>{"news"}));
  EXPECT(matches("news/sport") == (std::set<std::string>{"news/*", "news/sport"}));
  EXPECT(matches("news/sport/tennis") == (std::set<std::string>{"news/*", "news/sport/*"}));
  EXPECT(matches("newsagent").empty());
  EXPECT(matches("news/") == (std::set<std::string>{"news/*"}));
  channels.close(channels.find("news/*"));
  EXPECT(matches("news/sport") == (std::set<std::string>{"news/sport"}));
}

TEST("closing a channel in use aborts") {
  EXPECT(unit::aborts([] {
    Channels channels;
    const uint32_t index = channels.open("a");
    channels.add(index, 1);
    channels.close(index);
  }));
}

namespace {

Ref<Message> numbered(uint64_t number, size_t bytes) {
  Ref<Message> message = make_ref<Message>();
  message->number = number;
  message->data.assign(bytes, 'x');
  return message;
}

}  // namespace

TEST("all caches together are bounded in messages and bytes, and the oldest are evicted first") {
  Channels channels;
  constexpr uint64_t kChannels = 1'000;
  constexpr size_t kBytes = 30;
  for (uint64_t index = 0; index < kChannels; ++index) channels.open("c" + std::to_string(index));
  uint64_t number = 0;
  for (uint64_t round = 0; round < 12; ++round) {
    for (uint32_t index = 0; index < kChannels; ++index) {
      channels.remember(index, numbered(++number, kBytes));
    }
  }
  size_t kept = 0;
  for (uint32_t index = 0; index < kChannels; ++index) {
    const Channel& channel = channels.at(index);
    kept += channel.recent.size();
    EXPECT(channel.evicted_to + kChannels == channel.recent.front()->number);
  }
  EXPECT_EQUAL(kept, bounds::kCacheMessagesMax);
  EXPECT_EQUAL(channels.recent_bytes(), kept * kBytes);

  const size_t large = bounds::kChannelCacheBytesMax / 2;
  for (uint32_t index = 0; index < 200; ++index)
    channels.remember(index, numbered(++number, large));
  EXPECT(channels.recent_bytes() <= bounds::kCacheBytesMax);
  EXPECT(channels.recent_bytes() + large > bounds::kCacheBytesMax);
  EXPECT(channels.at(0).recent.empty() && !channels.at(199).recent.empty());
  for (uint32_t index = 0; index < kChannels; ++index) channels.close(index);
  EXPECT_EQUAL(channels.recent_bytes(), 0U);
}

TEST("a cache with the full history is marked so until it evicts a message") {
  Channels channels;
  const uint32_t index = channels.open("a");
  channels.at(index).evicted_to = 6;
  channels.remember(index, numbered(7, 10));
  // The page arrived after a message that it also has.
  channels.fill_cache(index, {numbered(2, 10), numbered(5, 10), numbered(7, 10)});
  EXPECT(channels.at(index).has_full_history);
  EXPECT_EQUAL(channels.at(index).recent.size(), 3U);
  EXPECT_EQUAL(channels.recent_after({index}, 0).front()->number, 2U);
  EXPECT_EQUAL(channels.at(index).evicted_to, 6U);
  for (uint64_t number = 8; number < 8 + bounds::kChannelCacheMessagesMax - 3; ++number) {
    channels.remember(index, numbered(number, 10));
  }
  EXPECT(channels.at(index).has_full_history);
  channels.remember(index, numbered(100, 10));
  EXPECT(!channels.at(index).has_full_history);
  EXPECT_EQUAL(channels.at(index).evicted_to, 6U);

  const uint32_t other = channels.open("b");
  channels.remember(other, numbered(200, bounds::kChannelCacheBytesMax));
  channels.fill_cache(other, {numbered(199, 1)});
  EXPECT(!channels.at(other).has_full_history);
  EXPECT_EQUAL(channels.at(other).recent.size(), 1U);
}

TEST("a cache keeps neither an ephemeral message nor earlier ones") {
  Channels channels;
  const uint32_t index = channels.open("a");
  const auto message = [](uint64_t number, uint8_t flags) {
    const Ref<Message> made = make_ref<Message>();
    made->number = number;
    made->flags = flags;
    made->data = "data";
    return made;
  };
  channels.remember(index, message(1, 0));
  channels.remember(index, message(2, 0));
  channels.skip(index, 3);
  EXPECT(channels.at(index).recent.empty());
  EXPECT_EQUAL(channels.at(index).evicted_to, 3U);
  EXPECT_EQUAL(channels.recent_bytes(), 0U);
  channels.remember(index, message(4, 0));
  EXPECT_EQUAL(channels.recent_after({index}, 3).size(), 1U);

  const uint32_t other = channels.open("b");
  channels.fill_cache(other, {message(1, 0), message(2, message_flag::kEphemeral)});
  EXPECT(!channels.at(other).has_full_history);
  EXPECT(channels.at(other).recent.empty());
}

TEST("after a loss no cache has a message, and each knows up to where it knows nothing") {
  Channels channels;
  const uint32_t one = channels.open("a");
  const uint32_t closed = channels.open("b");
  const uint32_t other = channels.open("c/*");
  channels.close(closed);
  channels.remember(one, numbered(1, 10));
  channels.fill_cache(other, {numbered(1, 10), numbered(2, 10)});
  channels.skip_all(9);
  for (const uint32_t index : {one, other}) {
    EXPECT(channels.at(index).recent.empty() && !channels.at(index).has_full_history);
    EXPECT_EQUAL(channels.at(index).evicted_to, 9U);
  }
  EXPECT_EQUAL(channels.at(closed).evicted_to, 0U);
  EXPECT_EQUAL(channels.recent_bytes(), 0U);
  channels.remember(one, numbered(10, 10));
  EXPECT_EQUAL(channels.recent_after({one, other}, 9).size(), 1U);
}

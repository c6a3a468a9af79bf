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
      const uint32_t row = channels.open(name);
      if (known != model.end() && !EXPECT_EQUAL(row, known->second)) return;
      model[name] = row;
      if (!EXPECT(channels.at(row).name == name)) return;
    } else if (known != model.end()) {
      channels.close(known->second);
      model.erase(known);
    }
    if (!EXPECT_EQUAL(channels.size(), model.size())) return;
  }
  std::set<uint32_t> rows;
  for (const auto& [name, row] : model) rows.insert(row);
  EXPECT_EQUAL(rows.size(), model.size());
}

TEST("who leaves a row is replaced by the last, who is named") {
  Channels channels;
  const uint32_t row = channels.open("a");
  EXPECT_EQUAL(channels.add(row, 10), 0U);
  EXPECT_EQUAL(channels.add(row, 11), 1U);
  EXPECT_EQUAL(channels.add(row, 12), 2U);
  EXPECT_EQUAL(channels.remove(row, 0), 12U);
  EXPECT(channels.at(row).subscribers == (std::vector<uint32_t>{12, 11}));
  EXPECT_EQUAL(channels.remove(row, 1), Channels::kNone);
  EXPECT_EQUAL(channels.remove(row, 0), Channels::kNone);
  EXPECT_EQUAL(channels.at(row).subscribers.capacity(), 0U);
}

TEST("a name matches its own row and each pattern above it, at slashes only") {
  Channels channels;
  std::vector<std::string> names = {
      "news/*", "news/sport/*", "new", "news", "news/sport", "other/*"};
  for (const std::string& name : names) channels.open(name);
  const auto matches = [&](const std::string& name) {
    std::set<std::string> found;
    channels.match(name, [&](uint32_t row) { found.insert(channels.at(row).name); });
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

TEST("closing a channel that is used is a bug, and aborts") {
  EXPECT(unit::aborts([] {
    Channels channels;
    const uint32_t row = channels.open("a");
    channels.add(row, 1);
    channels.close(row);
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

TEST("all tails together keep so many messages and bytes, and the oldest go first") {
  Channels channels;
  constexpr uint64_t kRows = 1'000;
  constexpr size_t kBytes = 30;
  for (uint64_t row = 0; row < kRows; ++row) channels.open("c" + std::to_string(row));
  uint64_t number = 0;
  for (uint64_t round = 0; round < 12; ++round) {
    for (uint32_t row = 0; row < kRows; ++row) {
      channels.remember(row, numbered(++number, kBytes));
    }
  }
  size_t kept = 0;
  for (uint32_t row = 0; row < kRows; ++row) {
    const Channel& channel = channels.at(row);
    kept += channel.tail.size();
    EXPECT(channel.tail_floor + kRows == channel.tail.front()->number);
  }
  EXPECT_EQUAL(kept, bounds::kTailsMessagesMax);
  EXPECT_EQUAL(channels.tails_bytes(), kept * kBytes);

  const size_t large = bounds::kTailBytesMax / 2;
  for (uint32_t row = 0; row < 200; ++row) channels.remember(row, numbered(++number, large));
  EXPECT(channels.tails_bytes() <= bounds::kTailsBytesMax);
  EXPECT(channels.tails_bytes() + large > bounds::kTailsBytesMax);
  EXPECT(channels.at(0).tail.empty() && !channels.at(199).tail.empty());
  for (uint32_t row = 0; row < kRows; ++row) channels.close(row);
  EXPECT_EQUAL(channels.tails_bytes(), 0U);
}

TEST("a tail that has all that is kept says so, until it forgets a message") {
  Channels channels;
  const uint32_t row = channels.open("a");
  channels.at(row).tail_floor = 6;
  channels.remember(row, numbered(7, 10));
  // The page came later than the message that it has too.
  channels.register_fd(row, {numbered(2, 10), numbered(5, 10), numbered(7, 10)});
  EXPECT(channels.at(row).is_whole);
  EXPECT_EQUAL(channels.at(row).tail.size(), 3U);
  EXPECT_EQUAL(channels.tails({row}, 0).front()->number, 2U);
  EXPECT_EQUAL(channels.at(row).tail_floor, 6U);
  for (uint64_t number = 8; number < 8 + bounds::kTailMessagesMax - 3; ++number) {
    channels.remember(row, numbered(number, 10));
  }
  EXPECT(channels.at(row).is_whole);
  channels.remember(row, numbered(100, 10));
  EXPECT(!channels.at(row).is_whole);
  EXPECT_EQUAL(channels.at(row).tail_floor, 6U);

  const uint32_t other = channels.open("b");
  channels.remember(other, numbered(200, bounds::kTailBytesMax));
  channels.register_fd(other, {numbered(199, 1)});
  EXPECT(!channels.at(other).is_whole);
  EXPECT_EQUAL(channels.at(other).tail.size(), 1U);
}

TEST("a tail keeps nothing of a message that may be gone sooner, nor what came before it") {
  Channels channels;
  const uint32_t row = channels.open("a");
  const auto message = [](uint64_t number, uint8_t flags) {
    const Ref<Message> made = make_ref<Message>();
    made->number = number;
    made->flags = flags;
    made->data = "data";
    return made;
  };
  channels.remember(row, message(1, 0));
  channels.remember(row, message(2, 0));
  channels.pass(row, 3);
  EXPECT(channels.at(row).tail.empty());
  EXPECT_EQUAL(channels.at(row).tail_floor, 3U);
  EXPECT_EQUAL(channels.tails_bytes(), 0U);
  channels.remember(row, message(4, 0));
  EXPECT_EQUAL(channels.tails({row}, 3).size(), 1U);

  const uint32_t other = channels.open("b");
  channels.register_fd(other, {message(1, 0), message(2, message_flag::kEphemeral)});
  EXPECT(!channels.at(other).is_whole);
  EXPECT(channels.at(other).tail.empty());
}

// Tests of sliced broadcasts: random histories of subscribing, leaving, publishing and slices
// against a model that delivers at once. A subscriber misses nothing, receives nothing twice, and
// nothing from before it joined.
#include "pubsub/fanout.h"

#include <algorithm>
#include <map>
#include <set>

#include "codec/cursor.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

/// A clock that stands still, or advances randomly at each reading: slices of any length.
uint64_t now_ns = 0;
uint64_t step_ns_max = 0;
uint64_t read_clock() {
  now_ns += unit::upto(step_ns_max);
  return now_ns;
}

/// For a slice that ends only when nothing is due.
constexpr uint64_t kNoEnd = UINT64_MAX;

constexpr uint32_t kChannels = 4;
constexpr uint32_t kPeople = 40;

struct Subscribed {
  uint32_t position;
  uint32_t next_wanted;
};

/// Subscribers of up to four channels, with the rules of delivery.cc, over a real Fanout.
class Town final : public FanoutHandler {
 public:
  Town() : fanout(&channels, this, read_clock) {
    for (uint32_t channel = 0; channel < kChannels; ++channel) {
      indices[channel] = channels.open("c" + std::to_string(channel));
    }
  }

  void subscribe(uint32_t person, uint32_t channel) {
    if (people[person].count(channel) > 0) return;
    people[person][channel] = {channels.add(channel, person), wants_after(head)};
    // The model: everything from now on, until it leaves.
    joined[{person, channel}] = head;
  }

  void leave(uint32_t person, uint32_t channel) {
    const auto found = people[person].find(channel);
    if (found == people[person].end()) return;
    const uint32_t moved = channels.remove(channel, found->second.position);
    if (moved != Channels::kNone) people[moved][channel].position = found->second.position;
    people[person].erase(found);
    // Unfinished messages need not be delivered.
    for (auto& [number, wanted] : expected) {
      const uint32_t of = channel_of[number];
      if (of == Fanout::kAllChannels ? !wants(person, number) : of == channel) wanted.erase(person);
    }
  }

  [[nodiscard]] bool wants(uint32_t person, uint64_t number) const {
    return std::any_of(people[person].begin(), people[person].end(), [number](const auto& one) {
      return is_wanted(one.second.next_wanted, number);
    });
  }

  void publish(uint32_t channel, uint32_t spread_ms) {
    Ref<Message> message(new Message());
    message->number = ++head;
    message->spread_ms = spread_ms;
    channel_of[head] = channel;
    const bool is_common = channel == Fanout::kAllChannels;
    for (uint32_t person = 0; person < kPeople; ++person) {
      const bool is_member =
          is_common ? !people[person].empty() : people[person].count(channel) > 0;
      if (is_member) expected[head].insert(person);
    }
    fanout.add(channel, message);
  }

  [[nodiscard]] uint32_t fds_end() const override { return kPeople; }

  /// With one subscriber of its channel a message may come at once, before it is pending.
  void on_fanout(uint32_t channel, uint32_t fd, Message& message) override {
    if (channel == Fanout::kAllChannels) return give(fd, message.number);
    if (!is_wanted(people[fd].at(channel).next_wanted, message.number)) return;
    give(fd, message.number);
    const auto found = people[fd].find(channel);
    if (found == people[fd].end() || !is_wanted(found->second.next_wanted, message.number)) return;
    found->second.next_wanted = wants_after(message.number);
    deliver(fd, message.number);
  }

  /// As Delivery::flush_pending(): all pending messages up to a number.
  void give(uint32_t person, uint64_t up_to) {
    std::vector<uint64_t> pending;
    for (const auto& [channel, subscribed] : people[person]) {
      const uint32_t next_wanted = subscribed.next_wanted;
      uint64_t last = 0;
      fanout.visit(channel, [&](const Ref<Message>& message) {
        if (message->number <= last) ++disordered;
        last = message->number;
        if (last <= up_to && is_wanted(next_wanted, last)) pending.push_back(last);
      });
    }
    std::sort(pending.begin(), pending.end());
    // One of all channels is found in each.
    pending.erase(std::unique(pending.begin(), pending.end()), pending.end());
    for (const uint64_t one : pending) {
      const uint32_t of = channel_of[one];
      if (of == Fanout::kAllChannels ? !wants(person, one) : people[person].count(of) == 0)
        continue;
      for (auto& [channel, subscribed] : people[person]) {
        const bool is_taken = of == Fanout::kAllChannels || of == channel;
        if (is_taken && is_wanted(subscribed.next_wanted, one)) {
          subscribed.next_wanted = wants_after(one);
        }
      }
      deliver(person, one);
    }
  }

  void deliver(uint32_t person, uint64_t number) {
    if (expected[number].erase(person) == 0) ++wrong;
    if (number <= last_of[person]) ++disordered;
    last_of[person] = number;
    // Sometimes a subscriber leaves during its own visit.
    if (unit::upto(200) == 0) {
      leave(static_cast<uint32_t>(unit::upto(kPeople - 1)), indices[unit::upto(kChannels - 1)]);
    }
  }

  /// A slice of the time that the schedule gives.
  void pump() { static_cast<void>(fanout.pump(now_ns + bounds::kFanoutSliceNs)); }

  [[nodiscard]] size_t missing() const {
    size_t count = 0;
    for (const auto& [number, wanted] : expected) count += wanted.size();
    return count;
  }

  Channels channels;
  Fanout fanout;
  uint32_t indices[kChannels] = {};
  std::map<uint32_t, Subscribed> people[kPeople];
  std::map<std::pair<uint32_t, uint32_t>, uint64_t> joined;
  std::map<uint64_t, std::set<uint32_t>> expected;
  std::map<uint64_t, uint32_t> channel_of;
  std::map<uint32_t, uint64_t> last_of;
  uint64_t head = 0;
  uint32_t wrong = 0;
  uint32_t disordered = 0;
};

}  // namespace

TEST(
    "over random histories deliveries are complete, ordered, single, and never from before the "
    "join") {
  step_ns_max = 400'000;
  for (int history = 0; history < 300; ++history) {
    Town town;
    // With few subscribers a channel may have one, and its message is sent at once.
    const auto last = unit::upto(kPeople - 1);
    for (int step = 0; step < 400; ++step) {
      const auto person = static_cast<uint32_t>(unit::upto(last));
      const uint32_t channel = town.indices[unit::upto(kChannels - 1)];
      switch (unit::upto(9)) {
        case 0:
        case 1:
        case 2:
          town.subscribe(person, channel);
          break;
        case 3:
          town.leave(person, channel);
          break;
        case 4:
        case 5:
          town.publish(unit::upto(19) == 0 ? Fanout::kAllChannels : channel,
                       unit::upto(9) == 0 ? 50 : 0);
          break;
        default:
          // Slices of any length: everything else happens between them.
          town.pump();
          town.fanout.begin_iteration();
          now_ns += unit::upto(20'000'000);
          break;
      }
    }
    while (town.fanout.unfinished() > 0) {
      now_ns += 10'000'000;
      town.pump();
    }
    if (!EXPECT_EQUAL(town.wrong, 0U)) return;
    if (!EXPECT_EQUAL(town.disordered, 0U)) return;
    if (!EXPECT_EQUAL(town.missing(), 0U)) return;
    if (!EXPECT_EQUAL(town.fanout.unfinished_bytes(), 0U)) return;
  }
}

TEST("messages to one subscriber are sent at once, a limited number per iteration, and in order") {
  class Noting final : public FanoutHandler {
   public:
    void on_fanout(uint32_t, uint32_t fd, Message& message) override {
      seen.emplace_back(fd, message.number);
    }
    std::vector<std::pair<uint32_t, uint64_t>> seen;
  } noting;
  Channels channels;
  step_ns_max = 0;
  now_ns = 0;
  Fanout fanout(&channels, &noting, read_clock);
  const uint32_t lonely = channels.open("a");
  const uint32_t shared = channels.open("b");
  channels.add(lonely, 1);
  channels.add(shared, 1);
  channels.add(shared, 2);
  uint64_t number = 0;
  const auto publish = [&](uint32_t channel, uint32_t spread_ms = 0) {
    Ref<Message> one(new Message());
    one->number = ++number;
    one->spread_ms = spread_ms;
    fanout.add(channel, one);
    return fanout.unfinished() == 0;
  };
  EXPECT(!publish(lonely));
  EXPECT(!fanout.pump(kNoEnd));
  fanout.begin_iteration();
  EXPECT(!publish(lonely, 10));
  now_ns += 20'000'000;
  EXPECT(!fanout.pump(kNoEnd));
  noting.seen.clear();
  for (uint32_t count = 0; count < bounds::kFanoutBatch; ++count) EXPECT(publish(lonely));
  EXPECT_EQUAL(noting.seen.size(), size_t{bounds::kFanoutBatch});
  EXPECT(!publish(lonely));
  EXPECT(!fanout.pump(kNoEnd));
  fanout.begin_iteration();
  EXPECT(!publish(shared));
  EXPECT(!publish(lonely));
  EXPECT_EQUAL(noting.seen.size(), size_t{bounds::kFanoutBatch} + 1);
  EXPECT(!fanout.pump(kNoEnd));
  EXPECT_EQUAL(noting.seen.size(), size_t{bounds::kFanoutBatch} + 4);
  EXPECT_EQUAL(noting.seen.back().second, number);
}

TEST("a message spread over a time is sent evenly, unless another waits for it") {
  class Counting final : public FanoutHandler {
   public:
    void on_fanout(uint32_t, uint32_t, Message&) override { ++count; }
    uint32_t count = 0;
  } counting;
  Channels channels;
  step_ns_max = 0;
  now_ns = 0;
  Fanout fanout(&channels, &counting, read_clock);
  const uint32_t channel = channels.open("a");
  for (uint32_t fd = 0; fd < 1000; ++fd) channels.add(channel, fd);
  const auto message = [](uint64_t number, uint32_t spread_ms) {
    Ref<Message> one(new Message());
    one->number = number;
    one->spread_ms = spread_ms;
    return one;
  };
  fanout.add(channel, message(1, 1000));
  now_ns = 100'000'000;
  EXPECT(!fanout.pump(kNoEnd));
  EXPECT(counting.count >= 90 && counting.count <= 110);
  now_ns = 500'000'000;
  EXPECT(!fanout.pump(kNoEnd));
  EXPECT(counting.count >= 490 && counting.count <= 510);
  fanout.add(channel, message(2, 0));
  EXPECT(!fanout.pump(kNoEnd));
  EXPECT_EQUAL(counting.count, 2000U);
  EXPECT_EQUAL(fanout.unfinished(), 0U);
}

TEST(
    "a message of all channels visits every descriptor, spread over its time, and is never at "
    "once") {
  struct Noting final : FanoutHandler {
    void on_fanout(uint32_t channel, uint32_t fd, Message&) override {
      if (channel == Fanout::kAllChannels)
        fds.push_back(fd);
      else
        ++others;
    }
    [[nodiscard]] uint32_t fds_end() const override { return 1000; }
    std::vector<uint32_t> fds;
    uint32_t others = 0;
  } noting;
  Channels channels;
  step_ns_max = 0;
  now_ns = 0;
  Fanout fanout(&channels, &noting, read_clock);
  const uint32_t channel = channels.open("a");
  channels.add(channel, 1);
  Ref<Message> notice(new Message());
  notice->number = 5;
  notice->spread_ms = 1000;
  fanout.begin_iteration();
  fanout.add(Fanout::kAllChannels, notice);
  EXPECT_EQUAL(fanout.unfinished(channel), 1U);
  EXPECT_EQUAL(fanout.lowest_number(), 5U);
  now_ns = 500'000'000;
  EXPECT(!fanout.pump(kNoEnd));
  EXPECT(noting.fds.size() >= 490 && noting.fds.size() <= 510);
  // A message that overtook the notice would hide the loss.
  Ref<Message> later(new Message());
  later->number = 6;
  fanout.add(channel, later);
  EXPECT_EQUAL(noting.others, 0U);
  std::vector<uint64_t> pending;
  fanout.visit(channel, [&](const Ref<Message>& one) { pending.push_back(one->number); });
  EXPECT((pending == std::vector<uint64_t>{5, 6}));
  now_ns = 1'000'000'000;
  EXPECT(!fanout.pump(kNoEnd));
  EXPECT_EQUAL(noting.others, 1U);
  EXPECT_EQUAL(std::set<uint32_t>(noting.fds.begin(), noting.fds.end()).size(), 1000U);
  EXPECT_EQUAL(noting.fds.size(), 1000U);
  EXPECT_EQUAL(fanout.unfinished(), 0U);
  EXPECT_EQUAL(fanout.unfinished(channel), 0U);
}

TEST("a slice ends at its time, after at least one batch") {
  struct Counting final : FanoutHandler {
    void on_fanout(uint32_t, uint32_t, Message&) override { ++count; }
    uint32_t count = 0;
  } counting;
  Channels channels;
  step_ns_max = 0;
  now_ns = 1000;
  // The clock is read once before the first batch, and once after each.
  Fanout fanout(&channels, &counting, [] { return now_ns += 10; });
  const uint32_t channel = channels.open("a");
  for (uint32_t fd = 0; fd < 100 * bounds::kFanoutBatch; ++fd) channels.add(channel, fd);
  Ref<Message> message(new Message());
  message->number = 1;
  fanout.add(channel, message);
  EXPECT(fanout.pump(0));
  EXPECT_EQUAL(counting.count, bounds::kFanoutBatch);
  EXPECT(fanout.pump(now_ns + 40));
  EXPECT_EQUAL(counting.count, 4 * bounds::kFanoutBatch);
  EXPECT(!fanout.pump(kNoEnd));
  EXPECT_EQUAL(counting.count, 100 * bounds::kFanoutBatch);
}

TEST("a closed channel drops its messages") {
  class Nobody final : public FanoutHandler {
   public:
    void on_fanout(uint32_t, uint32_t, Message&) override {}
  } nobody;
  Channels channels;
  Fanout fanout(&channels, &nobody);
  const uint32_t channel = channels.open("a");
  Ref<Message> message(new Message());
  message->data = "12345";
  fanout.add(channel, message);
  EXPECT_EQUAL(fanout.unfinished_bytes(), 5U);
  fanout.forget(channel);
  EXPECT_EQUAL(fanout.unfinished(), 0U);
  EXPECT_EQUAL(fanout.unfinished_bytes(), 0U);
  EXPECT(!fanout.pump(kNoEnd));
}

TEST("a full fan-out spreads nothing over a time") {
  // A full worker does not read the control stream, so everybody would wait.
  step_ns_max = 0;
  constexpr uint32_t kRows = 70;
  Channels channels;
  struct Counting final : FanoutHandler {
    void on_fanout(uint32_t, uint32_t, Message&) override { ++delivered; }
    uint32_t delivered = 0;
  } counting;
  Fanout fanout(&channels, &counting, read_clock);
  for (uint32_t index = 0; index < kRows; ++index) {
    const uint32_t channel = channels.open("c" + std::to_string(index));
    channels.add(channel, index);
    Ref<Message> message(new Message());
    message->number = index + 1;
    message->spread_ms = 3'600'000;
    message->data.assign(size_t{1024} * 1024, 'x');
    fanout.add(channel, message);
  }
  EXPECT(fanout.is_full());
  EXPECT(!fanout.pump(kNoEnd));
  EXPECT(!fanout.is_full());
  EXPECT(counting.delivered > 0);
  EXPECT(fanout.unfinished() > 0);
}

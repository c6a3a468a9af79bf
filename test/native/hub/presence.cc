// Tests of the reports to the manager, and of channels without subscribers.
#include "hub/presence.h"

#include <string>

#include "support/hub_parts.h"
#include "support/unit.h"

using namespace megacomet;
using unit::HubParts;

namespace {

std::string name_of_channel(uint32_t number) {
  return "c" + std::to_string(number);
}

/// A subscriber joins and leaves `count` channels.
void pass_through(HubParts* parts, uint32_t first, uint32_t count) {
  Connection* connection = parts->open(5);
  for (uint32_t number = first; number < first + count; ++number) {
    const uint32_t channel = parts->channels.open(name_of_channel(number));
    parts->channels.at(channel).is_live = true;
    parts->subscribe(connection, {name_of_channel(number)});
    parts->unsubscribe(connection);
  }
  parts->owner.close(connection, CloseCause::kPeer);
}

}  // namespace

TEST("a channel is kept after its last subscriber left, and then forgotten") {
  HubParts parts;
  parts.presence.set_channel_retention(10);
  pass_through(&parts, 0, 1);
  parts.presence.tick(1);
  EXPECT_EQUAL(parts.channels.size(), 1U);
  parts.presence.tick(12);
  EXPECT_EQUAL(parts.channels.size(), 0U);
}

TEST("a subscriber that passes through many channels leaves a bounded number, and then no memory") {
  HubParts parts;
  parts.presence.set_channel_retention(1000);
  for (uint32_t step = 0; step < 20; ++step) {
    pass_through(&parts, step * 10'000, 10'000);
    parts.presence.report();
    EXPECT(parts.channels.size() <= bounds::kRetainedChannelsMax);
  }
  EXPECT(parts.channels.capacity() <= bounds::kRetainedChannelsMax + 10'000);
  for (uint16_t second = 0; second < 40; ++second) {
    parts.presence.tick(static_cast<uint16_t>(1002 + second));
  }
  EXPECT_EQUAL(parts.channels.size(), 0U);
  EXPECT_EQUAL(parts.channels.capacity(), 0U);
}

TEST("channels with subscribers do not count as kept ones, and survive a trim") {
  HubParts parts;
  parts.presence.set_channel_retention(1000);
  Connection* connection = parts.open(7);
  pass_through(&parts, 0, 5000);
  const uint32_t last = parts.channels.open("last");
  parts.channels.at(last).is_live = true;
  parts.subscribe(connection, {"last"});
  pass_through(&parts, 5000, 20'000);
  for (uint16_t second = 0; second < 40; ++second) {
    parts.presence.tick(static_cast<uint16_t>(1002 + second));
  }
  EXPECT_EQUAL(parts.channels.size(), 1U);
  EXPECT_EQUAL(parts.channels.find("last"), last);
  EXPECT_EQUAL(parts.channels.capacity(), last + 1);
  // The lowest free index is used first.
  EXPECT_EQUAL(parts.channels.open("next"), 0U);
  EXPECT_EQUAL(parts.channels.find("next"), 0U);
  EXPECT_EQUAL(parts.channels.find("c1"), Channels::kNone);
}

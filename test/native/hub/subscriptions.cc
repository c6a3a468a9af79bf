// Tests of channels and positions of connections, without sockets.
#include "hub/subscriptions.h"

#include "support/hub_parts.h"
#include "support/unit.h"

using namespace megacomet;
using unit::HubParts;

namespace {

/// A live channel, so that a subscription needs no replay.
uint32_t live(HubParts* parts, const char* name) {
  const uint32_t channel = parts->channels.open(name);
  parts->channels.at(channel).is_live = true;
  return channel;
}

}  // namespace

TEST("an idle subscriber of one channel has no session, and one of two has") {
  HubParts parts;
  live(&parts, "a");
  live(&parts, "b");
  Connection* connection = parts.open(5);
  parts.subscribe(connection, {"a"});
  EXPECT(connection->state == ConnectionState::kSubscribed);
  EXPECT_EQUAL(parts.count(Counter::kSessions), 0U);
  parts.subscribe(connection, {"b"});
  EXPECT(connection->is_busy());
  EXPECT_EQUAL(connection->session->subscriptions.size(), 2U);
  EXPECT_EQUAL(parts.count(Counter::kSubscriptions), 2U);
  EXPECT(parts.unsubscribe(connection, "a"));
  EXPECT(!parts.unsubscribe(connection, "a") && !parts.unsubscribe(connection, "other"));
  parts.sessions.release(connection);
  EXPECT(connection->state == ConnectionState::kSubscribed);
  parts.unsubscribe(connection);
  EXPECT(connection->state == ConnectionState::kOpen);
  EXPECT_EQUAL(parts.count(Counter::kSubscriptions), 0U);
}

TEST("positions stay right when others leave, in records and in sessions") {
  HubParts parts;
  const uint32_t channel = live(&parts, "a");
  live(&parts, "b");
  for (int fd = 1; fd <= 20; ++fd) {
    Connection* connection = parts.open(fd);
    parts.subscribe(connection, {"a"});
    if (fd % 3 == 0) parts.subscribe(connection, {"b"});
  }
  for (const int fd : {3, 1, 20, 7, 18}) {
    parts.owner.close(parts.connections.at(fd), CloseCause::kPeer);
    const std::vector<uint32_t>& all = parts.channels.at(channel).subscribers;
    for (uint32_t position = 0; position < all.size(); ++position) {
      Connection* other = parts.connections.at(static_cast<int>(all[position]));
      const uint32_t known =
          other->is_busy() ? Subscriptions::find(other, channel)->position : other->only.position;
      EXPECT_EQUAL(known, position);
    }
  }
  EXPECT_EQUAL(parts.channels.at(channel).subscribers.size(), 15U);
}

TEST("the position of a subscriber is held back by unfinished messages that it wants") {
  HubParts parts;
  live(&parts, "a");
  Connection* one = parts.open(1);
  Connection* two = parts.open(2);
  parts.publish(3, "other");
  parts.subscribe(one, {"a"});
  parts.subscribe(two, {"a"});
  parts.publish(4, "a", false);
  parts.publish(5, "other", false);
  EXPECT(parts.position(*one) == (Cursor{HubParts::kEpoch, 3}));
  EXPECT(parts.position(*parts.open(9)) == (Cursor{HubParts::kEpoch, 5}));
  while (parts.fanout.unfinished() > 0) static_cast<void>(parts.fanout.pump(UINT64_MAX));
  EXPECT(parts.position(*one) == (Cursor{HubParts::kEpoch, 5}));
}

TEST("the position of a subscriber with a pending replay is its cursor") {
  HubParts parts;
  Connection* connection = parts.open(1);
  const Cursor since{HubParts::kEpoch, 2};
  parts.publish(9, "other");
  parts.subscribe(connection, {"a"}, &since);
  EXPECT(parts.position(*connection) == since);
  parts.answer(9);
  EXPECT(parts.position(*connection) == (Cursor{HubParts::kEpoch, 9}));
}

// Tests of replays from the caches and from the manager, without sockets.
#include "hub/recovery.h"

#include <string>

#include "support/hub_parts.h"
#include "support/unit.h"

using namespace megacomet;
using unit::FakeSocket;
using unit::HubParts;

namespace {

constexpr uint64_t kEpoch = HubParts::kEpoch;

ReplayPart part_of(const HubParts& parts,
                   const std::vector<uint64_t>& numbers,
                   uint64_t head,
                   bool is_last) {
  ReplayPart part{{}, head, is_last, false};
  for (const uint64_t number : numbers) part.messages.push_back(parts.message(number, "a"));
  return part;
}

ConnectionName name_in(const frame::ReplayRequest& request) {
  return {request.fd, request.generation};
}

}  // namespace

TEST("the first subscriber of a channel requests a replay, and is live with its last page") {
  HubParts parts;
  Connection* connection = parts.open(5);
  const Cursor since{kEpoch, 3};
  parts.subscribe(connection, {"a", "b", "a"}, &since);
  EXPECT_EQUAL(parts.requests.size(), 1U);
  const frame::ReplayRequest& request = parts.requests[0];
  EXPECT_EQUAL(request.channels.size(), 2U);
  EXPECT(request.has_since == 1 && request.epoch == kEpoch && request.number == 3);
  // Messages before the page are not delivered: the page has them.
  parts.publish(7, "a");
  EXPECT(FakeSocket::sent[5].empty());
  parts.recovery.on_page(name_in(request), part_of(parts, {5, 7}, 7, true));
  parts.publish(8, "a");
  EXPECT(FakeSocket::sent[5] == "[5 7 @7 last]8:a;");
  EXPECT_EQUAL(parts.count(Counter::kReplayedTotal), 2U);
  EXPECT_EQUAL(parts.recovery.unanswered(), 0U);
}

TEST("later subscribers are answered from the cache, without a request or a session") {
  HubParts parts;
  parts.subscribe(parts.open(1), {"a"});
  parts.answer(0);
  for (uint64_t number = 1; number <= 4; ++number) parts.publish(number, "a");
  Connection* connection = parts.open(5);
  const Cursor since{kEpoch, 2};
  parts.subscribe(connection, {"a"}, &since);
  EXPECT(FakeSocket::sent[5] == "[3 4 @4 last]");
  EXPECT(connection->state == ConnectionState::kSubscribed);
  EXPECT_EQUAL(parts.requests.size(), 1U);
  // A cursor below the eviction watermark, and one that this worker has not reached.
  for (const uint64_t number : {uint64_t{0}, uint64_t{99}}) {
    const Cursor other{kEpoch, number};
    const size_t before = parts.requests.size();
    parts.channels.at(parts.channels.find("a")).evicted_to = 1;
    parts.subscribe(parts.open(static_cast<int>(10 + number % 7)), {"a"}, &other);
    EXPECT_EQUAL(parts.requests.size(), before + 1);
  }
}

TEST("a replay in pages pauses while the send queue is not empty") {
  HubParts parts;
  Connection* connection = parts.open(5);
  const Cursor since{kEpoch, 0};
  parts.subscribe(connection, {"a"}, &since);
  FakeSocket::room[5] = 0;
  parts.recovery.on_page(name_in(parts.requests[0]), part_of(parts, {1, 2}, 9, false));
  EXPECT_EQUAL(parts.requests.size(), 1U);
  FakeSocket::room.clear();
  parts.sender.on_writable(connection);
  EXPECT_EQUAL(parts.requests.size(), 2U);
  EXPECT_EQUAL(parts.requests[1].number, 2U);
  parts.recovery.on_page(name_in(parts.requests[1]), part_of(parts, {8}, 9, true));
  EXPECT(FakeSocket::sent[5] == "[1 2 @2][8 @9 last]");
  EXPECT(connection->state == ConnectionState::kSubscribed);
}

TEST("a cursor of another epoch is answered as lost, and its first page fills the cache") {
  HubParts parts;
  Connection* first = parts.open(1);
  const Cursor since{kEpoch + 1, 50};
  parts.subscribe(first, {"a"}, &since);
  ReplayPart part = part_of(parts, {2, 3}, 4, true);
  part.is_lost = true;
  parts.recovery.on_page(name_in(parts.requests[0]), part);
  parts.subscribe(parts.open(2), {"a"}, &since);
  EXPECT_EQUAL(parts.requests.size(), 1U);
  EXPECT(FakeSocket::sent[1] == "[2 3 @4 last lost]");
  EXPECT(FakeSocket::sent[2] == "[2 3 @4 last lost]");
}

TEST("a limited number of requests is unanswered, and the others follow in order") {
  HubParts parts;
  constexpr uint32_t kCount = bounds::kReplayRequestsMax + 40;
  for (uint32_t fd = 0; fd < kCount; ++fd) parts.subscribe(parts.open(static_cast<int>(fd)), {"a"});
  EXPECT_EQUAL(parts.requests.size(), size_t{bounds::kReplayRequestsMax});
  EXPECT_EQUAL(parts.recovery.unanswered(), bounds::kReplayRequestsMax);
  // One that was requested, and one that is queued.
  const int last = static_cast<int>(kCount) - 1;
  for (const int fd : {3, last}) parts.owner.close(parts.connections.at(fd), CloseCause::kPeer);
  const uint32_t channel = parts.channels.find("a");
  EXPECT_EQUAL(parts.channels.at(channel).replays, kCount - 2);
  for (size_t at = 0; at < parts.requests.size(); ++at) {
    const ConnectionName name = name_in(parts.requests[at]);
    EXPECT_EQUAL(name.fd, at);
    parts.recovery.on_page(name, part_of(parts, {}, 1, true));
  }
  EXPECT_EQUAL(parts.requests.size(), size_t{kCount - 1});
  EXPECT_EQUAL(parts.recovery.unanswered(), 0U);
  EXPECT_EQUAL(parts.channels.at(channel).replays, 0U);
  EXPECT_EQUAL(parts.count(Counter::kSubscriptions), uint64_t{kCount - 2});
  EXPECT(FakeSocket::sent[3].empty());
}

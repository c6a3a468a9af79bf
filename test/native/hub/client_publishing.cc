// Tests of messages that clients publish: their rates, and the manager's answers.
#include "hub/client_publishing.h"

#include <string>
#include <vector>

#include "support/hub_parts.h"
#include "support/unit.h"

using namespace megacomet;
using unit::HubParts;

namespace {

std::vector<std::string> answers;

void on_rejected(Services&, Connection* connection, const frame::Rejected& rejected) {
  answers.push_back(std::to_string(connection->fd()) + " rejected " + rejected.id);
}

void on_published(Services&, Connection* connection, const frame::Published& published) {
  answers.push_back(std::to_string(connection->fd()) + " published " + published.id);
}

constexpr Protocol make_protocol() {
  Protocol protocol;
  protocol.on_rejected = on_rejected;
  protocol.on_published = on_published;
  return protocol;
}

constexpr Protocol kPublishing = make_protocol();
constexpr Protocol kSilent;
const Protocol* const kProtocols[] = {&kPublishing, &kSilent};

struct World {
  World() { answers.clear(); }

  void answer(const ConnectionName& name, const std::string& id) {
    frame::Rejected rejected;
    rejected.fd = name.fd;
    rejected.generation = name.generation;
    rejected.id = id;
    publishing.on_rejected(rejected);
    frame::Published published;
    published.fd = name.fd;
    published.generation = name.generation;
    published.id = id;
    publishing.on_published(published);
  }

  HubParts parts{kProtocols};
  ClientPublishing publishing{{&parts.connections,
                               &parts.control,
                               &parts.counters,
                               &parts.limits,
                               &parts.access,
                               &parts.services,
                               kProtocols}};
};

/// Counts events until one is not allowed, at most as many: the clock goes on meanwhile.
template <typename Count>
bool is_limited(Count count) {
  for (int event = 0; event < 1'000'000; ++event) {
    if (!count()) return true;
  }
  return false;
}

}  // namespace

TEST("a client that is too fast has a counter, and other clients are not slowed down") {
  World world;
  Connection* fast = world.parts.open(5);
  EXPECT(world.publishing.count(*fast) == PublishPace::kAllowed);
  world.publishing.set_client_rate(1);
  EXPECT(is_limited([&] { return world.publishing.count(*fast) == PublishPace::kAllowed; }));
  EXPECT_EQUAL(world.parts.count(Counter::kClientPublishesLimitedTotal), 1U);
  EXPECT(world.publishing.count(*world.parts.open(6)) == PublishPace::kAllowed);
}

TEST("all clients of a worker together have a rate, and a counter") {
  World world;
  Connection* one = world.parts.open(5);
  EXPECT(world.publishing.publish(*one, {}));
  world.publishing.set_worker_rate(1000);
  EXPECT(is_limited([&] { return world.publishing.publish(*one, {}); }));
  EXPECT_EQUAL(world.parts.count(Counter::kAllClientsPublishesLimitedTotal), 1U);
}

TEST("a manager that does not read is sent no further message") {
  World world;
  Connection* one = world.parts.open(5);
  frame::Message message;
  message.data.bytes = std::string(2000, 'x');
  EXPECT(is_limited([&] { return world.publishing.publish(*one, message); }));
  EXPECT(world.parts.control.is_full());
}

TEST("an answer reaches the client that published, unless it has closed or is closing") {
  World world;
  Connection* one = world.parts.open(5);
  const ConnectionName name = name_of(*one);
  world.answer(name, "a");
  EXPECT(answers == std::vector<std::string>({"5 rejected a", "5 published a"}));
  answers.clear();
  one->is_closing = true;
  world.answer(name, "b");
  one->is_closing = false;
  world.parts.owner.close(one, CloseCause::kPeer);
  world.parts.open(5);
  world.answer(name, "c");
  EXPECT(answers.empty());
}

TEST("a protocol that does not publish gets no answer") {
  World world;
  world.answer(name_of(*world.parts.open(5, true)), "a");
  EXPECT(answers.empty());
}

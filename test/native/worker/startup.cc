// Tests of the checks and numbers of a worker before it serves.
#include "worker/startup.h"

#include "base/bounds.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

frame::Configure valid() {
  frame::Configure configure;
  configure.protocol = "echo";
  configure.slots = 2;
  configure.listeners = {0, 1, 2};
  configure.listener_flags = {0, listener_flag::kProxyHeader, 0};
  return configure;
}

}  // namespace

TEST("a Configure frame is valid with a known protocol, a number of slots and its listeners") {
  frame::Configure configure = valid();
  EXPECT(startup::is_valid(configure));
  configure.protocol = "comet";
  configure.listeners.clear();
  configure.listener_flags.clear();
  EXPECT(startup::is_valid(configure));
  configure.listeners.assign(bounds::kListenersMax, 0);
  configure.listener_flags.assign(bounds::kListenersMax, listener_flag::kProxyHeader);
  EXPECT(startup::is_valid(configure));
}

TEST(
    "a Configure frame is invalid with a wrong protocol, ownership, or number of slots or "
    "listeners") {
  for (const uint32_t slots : {0U, bounds::kSlotsMax + 1}) {
    frame::Configure configure = valid();
    configure.slots = slots;
    EXPECT(!startup::is_valid(configure));
  }
  // SSE takes over a connection from HTTP; no connection begins with it.
  for (const char* protocol : {"gopher", "", "sse", "websocket"}) {
    frame::Configure configure = valid();
    configure.protocol = protocol;
    EXPECT(!startup::is_valid(configure));
  }
  frame::Configure configure = valid();
  configure.listeners.back() = 3;
  EXPECT(!startup::is_valid(configure));
  configure.listeners.assign(bounds::kListenersMax + 1, 0);
  configure.listener_flags.assign(bounds::kListenersMax + 1, 0);
  EXPECT(!startup::is_valid(configure));
}

TEST("a Configure frame is invalid with an unknown flag, or not one set of flags per listener") {
  frame::Configure configure = valid();
  configure.listener_flags.back() = 128;
  EXPECT(!startup::is_valid(configure));
  configure.listener_flags.pop_back();
  EXPECT(!startup::is_valid(configure));
  configure.listener_flags.assign(4, 0);
  EXPECT(!startup::is_valid(configure));
}

TEST("connections get the descriptors that are left by the open ones, a spare one and a reserve") {
  const startup::Descriptors all = startup::divide_descriptors(20'000, 35, UINT32_MAX);
  EXPECT_EQUAL(all.fixed, 36U);
  EXPECT_EQUAL(all.connections, 20'000U - 36 - bounds::kDescriptorReserve);
  EXPECT_EQUAL(all.capacity, 20'000U);
  const startup::Descriptors few = startup::divide_descriptors(20'000, 35, 100);
  EXPECT_EQUAL(few.connections, 100U);
  EXPECT_EQUAL(few.capacity, 100U + 36 + bounds::kDescriptorReserve);
}

TEST("a limit below the open descriptors of the process leaves no connection") {
  for (const uint64_t limit :
       {uint64_t{0}, uint64_t{35}, uint64_t{36} + bounds::kDescriptorReserve}) {
    const startup::Descriptors none = startup::divide_descriptors(limit, 35, 1000);
    EXPECT_EQUAL(none.connections, 0U);
    EXPECT(none.capacity > 35U);
  }
}

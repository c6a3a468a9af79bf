// Tests of the list of protocols.
#include "worker/protocol_table.h"

#include "support/unit.h"

using namespace megacomet;

TEST("a connection can begin with echo and comet, and with no other protocol") {
  EXPECT_EQUAL(find_protocol("echo"), static_cast<int>(ProtocolId::kEcho));
  EXPECT_EQUAL(find_protocol("comet"), static_cast<int>(ProtocolId::kHttp));
  for (const char* name : {"", "http", "sse", "websocket", "Echo", "echo "}) {
    EXPECT_EQUAL(find_protocol(name), -1);
  }
}

TEST("each protocol stands at the index of its id") {
  const auto name = [](ProtocolId id) {
    return std::string(kProtocols[static_cast<int>(id)]->name);
  };
  EXPECT(name(ProtocolId::kSse) == "sse");
  EXPECT(name(ProtocolId::kPoll) == "poll");
  EXPECT(name(ProtocolId::kWebSocket) == "websocket");
  EXPECT(name(ProtocolId::kMailbox) == "mailbox");
}

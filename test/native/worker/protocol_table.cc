// Tests of the list of protocols.
#include "worker/protocol_table.h"

#include "protocol/echo.h"
#include "protocol/http.h"
#include "protocol/mailbox.h"
#include "protocol/sse.h"
#include "protocol/tls_handshake.h"
#include "support/unit.h"

using namespace megacomet;

TEST("a connection can begin with a protocol that has a choice, and with no other") {
  EXPECT_EQUAL(find_protocol("echo"), static_cast<int>(ProtocolId::kEcho));
  EXPECT_EQUAL(find_protocol("comet"), static_cast<int>(ProtocolId::kHttp));
  for (const char* name : {"", "http", "sse", "websocket", "Echo", "echo "}) {
    EXPECT_EQUAL(find_protocol(name), -1);
  }
}

TEST("each protocol is in the table at the index of its id") {
  const auto at = [](ProtocolId id) { return kProtocols[static_cast<int>(id)]; };
  EXPECT(at(ProtocolId::kEcho) == &kEchoProtocol);
  EXPECT(at(ProtocolId::kHttp) == &kHttpProtocol);
  EXPECT(at(ProtocolId::kSse) == &kSseProtocol);
  EXPECT(at(ProtocolId::kMailbox) == &kMailboxProtocol);
  EXPECT(at(ProtocolId::kTlsHandshake) == &kTlsHandshakeProtocol);
  EXPECT_EQUAL(kProtocolCount, static_cast<int>(ProtocolId::kTlsHandshake) + 1);
}

// The list of protocols. See protocol_table.h.
#include "worker/protocol_table.h"

#include "protocol/echo.h"
#include "protocol/http.h"
#include "protocol/mailbox.h"
#include "protocol/poll.h"
#include "protocol/sse.h"
#include "protocol/stream.h"
#include "protocol/websocket.h"

namespace megacomet {

const Protocol* const kProtocols[] = {&kEchoProtocol,
                                      &kHttpProtocol,
                                      &kSseProtocol,
                                      &kStreamProtocol,
                                      &kPollProtocol,
                                      &kWebSocketProtocol,
                                      &kWebSocketEchoProtocol,
                                      &kMailboxProtocol};

int find_protocol(const std::string& name) {
  for (const ProtocolId id : {ProtocolId::kEcho, ProtocolId::kHttp}) {
    const int index = static_cast<int>(id);
    if (name == kProtocols[index]->name) return index;
  }
  return -1;
}

}  // namespace megacomet

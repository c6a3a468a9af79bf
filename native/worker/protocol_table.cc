// The list of protocols. See protocol_table.h.
#include "worker/protocol_table.h"

#include "protocol/echo.h"
#include "protocol/http.h"
#include "protocol/mailbox.h"
#include "protocol/pending_request.h"
#include "protocol/poll.h"
#include "protocol/proxy_header.h"
#include "protocol/sse.h"
#include "protocol/stream.h"
#include "protocol/tls_handshake.h"
#include "protocol/websocket.h"

namespace megacomet {

namespace {

#define MC_PROTOCOL_CHOICE(id, choice) choice,
constexpr const char* kChoices[] = {MC_PROTOCOLS(MC_PROTOCOL_CHOICE)};
#undef MC_PROTOCOL_CHOICE

}  // namespace

#define MC_PROTOCOL_POINTER(id, choice) &k##id##Protocol,
const Protocol* const kProtocols[] = {MC_PROTOCOLS(MC_PROTOCOL_POINTER)};
#undef MC_PROTOCOL_POINTER

int find_protocol(const std::string& name) {
  if (name.empty()) return -1;
  for (int index = 0; index < kProtocolCount; index++) {
    if (name == kChoices[index]) return index;
  }
  return -1;
}

}  // namespace megacomet

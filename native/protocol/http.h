// HTTP/1.1 on a comet server's port: reads requests and hands them over to their transports.
#pragma once

#include "connection/protocol.h"

namespace megacomet {

extern const Protocol kHttpProtocol;

/// Goes on with a pending request after the application's decision.
void resume_request(Services& services, Connection* connection, const HookDecision& decision);

/// Sets the deadline of a connection that waits for its next request.
void await_request(Services& services, Connection* connection);

}  // namespace megacomet

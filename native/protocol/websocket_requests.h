// Commands of WebSocket clients that the manager answers: presence, history, and publishes with an
// id. docs/protocol.md describes their JSON.
#pragma once

#include <string>

#include "connection/protocol.h"
#include "protocol/client_command.h"

namespace megacomet {

/// Sends a presence or history command to the manager. Null, or the error.
[[nodiscard]] const char* send_request(Services& services,
                                       Connection* connection,
                                       const ClientCommand& command);

/// The answer of the manager as JSON.
[[nodiscard]] std::string response_text(const Response& response);

/// The acknowledgement of a publish as JSON, with the cursor of the message.
[[nodiscard]] std::string published_text(const Services& services,
                                         const frame::Published& published);

}  // namespace megacomet

// Commands of WebSocket clients, and the responses to them. docs/protocol.md describes their JSON.
#pragma once

#include <string>
#include <string_view>

#include "connection/protocol.h"

namespace megacomet {

/// Handles one message of a client. False if the connection closed. A message that needs a decision
/// becomes the first of those that wait; its second call has the `decision`.
bool handle_command(Services& services,
                    Connection* connection,
                    std::string_view text,
                    const HookDecision* decision = nullptr);

/// Sends an error. The error of a publish names the message, because the manager's errors arrive
/// later than those of the worker.
bool send_command_error(Services& services,
                        Connection* connection,
                        std::string_view error,
                        std::string_view channel = {},
                        std::string_view id = {});

/// Subscribes to channels, or leaves them, because the application says so: no grant is needed. The
/// connection has no pending replay. False if the connection closed.
bool change_channels(Services& services, Connection* connection, const ChannelChange& change);

/// The response to a subscribe command. It names the channels, because the client may have sent
/// further commands.
[[nodiscard]] std::string subscribed_text(Services& services, const Replay& replay);

}  // namespace megacomet

// The hook requests about clients without a token. None is sent in a server without a hook, or
// about a client with a valid token.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "codec/http_codec.h"
#include "connection/services.h"
#include "protocol/client_command.h"
#include "protocol/comet_request.h"

namespace megacomet {

/// The error for a client about which the application has not decided.
inline constexpr char kUndecided[] = "no decision about this client now; retry later";

/// Whether the application is asked about this action of this client.
[[nodiscard]] bool may_ask(Services& services, Connection* connection, HookAction action);

/// Whether a client's text stands for something that only the application knows, such as a
/// session: it is not a token, and the application is asked about this action.
[[nodiscard]] bool is_for_application(Services& services,
                                      Connection* connection,
                                      HookAction action,
                                      std::string_view token);

/// A hook request about an action on channels.
[[nodiscard]] frame::HookRequest hook_request_about(HookAction action,
                                                    std::vector<std::string> channels,
                                                    std::string_view token);

/// Adds the transport, and the header fields and cookies that the hook names.
[[nodiscard]] HttpFault add_credentials(const Services& services,
                                        const HttpHead& head,
                                        CometRoute route,
                                        frame::HookRequest* hook_request);

/// What to ask before a command of a WebSocket is handled; nothing if it can be handled now.
[[nodiscard]] std::optional<frame::HookRequest> hook_request_of_command(
    Services& services, Connection* connection, const ClientCommand& command);

/// Why a client is rejected by a decision; code 0 if it allows. Its text is the decision's.
[[nodiscard]] HttpFault fault_of(const HookDecision& decision);

}  // namespace megacomet

// Whether a client may do the requested action: its tokens, in any position, and the grants.
// Nothing is checked where the server has no rules of access.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "codec/http_codec.h"
#include "connection/services.h"
#include "protocol/comet_request.h"

namespace megacomet {

/// Whether a request may go on.
struct AccessCheck {
  HttpFault fault;
  /// The hook request whose answer decides, before anything else happens.
  std::optional<frame::HookRequest> hook_request;
  /// Whether the request goes on without the token of its cookie, which was rejected.
  bool has_rejected_token = false;

  [[nodiscard]] bool is_allowed() const { return fault.code == 0 && !hook_request; }
};

/// Gives the connection the identity of the request's token, adds the channels of that token to the
/// request, and checks that the client may subscribe to each of its channels. `decision` is about
/// the hook request that the last call of this request had; null in the first.
[[nodiscard]] AccessCheck check_request_access(Services& services,
                                               Connection* connection,
                                               const HttpHead& head,
                                               CometRequest* request,
                                               const HookDecision* decision);

/// Why a client may not subscribe to all of these channels; code 0 if it may, 401 for a token that
/// is missing or rejected, 503 for one whose key is not known yet, else 403. `tokens` are for one
/// channel each; the application has allowed the channels of `admitted`.
[[nodiscard]] HttpFault check_subscribe_access(Services& services,
                                               Connection* connection,
                                               const std::vector<std::string>& channels,
                                               const std::vector<std::string>& tokens,
                                               std::vector<std::string> admitted);

/// Whether the server needs tokens, and the client has shown none.
[[nodiscard]] bool is_unknown(Services& services, Connection* connection);

/// Whether the client may publish to a channel.
[[nodiscard]] bool may_publish(Services& services,
                               Connection* connection,
                               std::string_view channel);

/// Whether the client may read the presence or the history of a channel or pattern. No client may
/// where the server has neither keys nor public channels: a server that is open says nothing of its
/// clients.
[[nodiscard]] bool may_read(Services& services,
                            Connection* connection,
                            ClientRequestKind kind,
                            std::string_view channel);

}  // namespace megacomet

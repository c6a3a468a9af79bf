// Responses to clients that the server cannot serve now, each in the form that makes its client
// return.
#pragma once

#include <string>
#include <string_view>

#include "codec/http_codec.h"
#include "connection/services.h"

namespace megacomet {

/// The limits of one head.
[[nodiscard]] HeadLimits head_limits(const Services& services);

/// The allowed origin of a request that cannot be parsed: its page should be able to read the
/// error.
[[nodiscard]] std::string_view allowed_origin_in(const Services& services, std::string_view bytes);

/// The response to a peer that is rejected before it is served. Empty if the request is incomplete
/// and not `is_last`.
[[nodiscard]] std::string http_rejection(Services& services,
                                         Rejection reason,
                                         std::string_view request,
                                         bool is_last);

/// The exceeded limit of an address, as a sentence for its client.
[[nodiscard]] std::string limit_sentence(const Services& services, Rejection reason);

/// The response to a request over a limit, which `sentence` names.
[[nodiscard]] std::string http_limited(Services& services,
                                       const HttpHead& head,
                                       std::string_view sentence);

/// The response to a complete request that may succeed later; `sentence` says why.
[[nodiscard]] std::string http_unavailable(Services& services,
                                           const HttpHead& head,
                                           std::string_view sentence);

/// The response to an incomplete request for which the input budget has no room.
[[nodiscard]] std::string http_input_full(Services& services, std::string_view request);

}  // namespace megacomet

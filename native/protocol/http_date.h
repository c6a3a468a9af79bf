// The Date field of responses (RFC 9110 6.6.1).
#pragma once

#include <string_view>

namespace megacomet {

/// The current second, such as "Sun, 06 Nov 1994 08:49:37 GMT". Formatted once in a second, so a
/// response costs one read of the coarse clock. Valid until the next call.
[[nodiscard]] std::string_view http_date();

}  // namespace megacomet

// The cookies of an HTTP request. Pure.
#pragma once

#include <string_view>

#include "codec/http_codec.h"

namespace megacomet {

/// The value of the first cookie of that name (RFC 6265 4.2.1); empty for none.
[[nodiscard]] std::string_view cookie_in(const HttpHead& head, std::string_view name);

}  // namespace megacomet

// OpenSSL for the test program, and tokens that it signs.
#pragma once

#include <string>
#include <string_view>

#include "os/openssl.h"

namespace unit {

/// This program has no OpenSSL of its own, as Node has; the system's has the same functions.
const megacomet::OpenSsl& openssl();

/// Without padding.
std::string base64url(std::string_view bytes);

/// A compact token with the signature of HS256.
std::string hs256_token(std::string_view secret,
                        std::string_view payload,
                        std::string_view header = R"({"alg":"HS256"})");

}  // namespace unit

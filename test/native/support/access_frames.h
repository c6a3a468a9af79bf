// Settings and tokens for the tests of access.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ipc/frames.h"
#include "os/sys.h"
#include "support/tokens.h"

namespace unit {

inline const std::string kTokenSecret(32, 's');

/// The keys of a server that takes tokens of HS256 signed with these secrets.
inline megacomet::frame::Access access_of(const std::vector<std::string>& secrets) {
  static_cast<void>(openssl());
  megacomet::frame::Access settings;
  for (const std::string& secret : secrets) {
    settings.algorithms.push_back(static_cast<uint64_t>(megacomet::TokenAlgorithm::kHs256));
    settings.key_ids.emplace_back();
    settings.keys.push_back(base64url(secret));
  }
  return settings;
}

/// A token that is valid for an hour, with these members in its claims.
inline std::string token_of(std::string_view members, std::string_view secret = kTokenSecret) {
  const std::string end = std::to_string(megacomet::sys::wall_s() + 3600);
  return hs256_token(secret, "{\"exp\":" + end + "," + std::string(members) + "}");
}

}  // namespace unit

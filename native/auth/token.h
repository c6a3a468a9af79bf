// JSON Web Tokens as texts: their parts, header and claims, without keys and without a clock
// (RFC 7515, RFC 7519; RFC 8725 has the attacks). Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bounds.h"
#include "ipc/frames.h"

namespace megacomet {

/// Why a token is rejected. Each is a counter, because each has another fix.
enum class TokenFault : uint8_t {
  kNone,
  /// Not three parts of base64url, not JSON, too long, or a claim of the wrong type.
  kMalformed,
  /// Signed in another way than the configuration says, or not at all.
  kAlgorithm,
  kUnknownKey,
  /// The key may be one of --token-jwks-url that the manager has not fetched yet: retry later.
  kKeyPending,
  kSignature,
  kExpired,
  /// Without `exp`, and the rules demand one.
  kNoExpiry,
  kNotYetValid,
  kIssuer,
  kAudience,
  kRevoked,
  /// A refresh with the token of another user, or a channel's token of another one.
  kUser,
  /// The token is valid, but its user has as many connections as it may have.
  kUserFull,
  /// A token for one channel where one for a connection is expected, or the other way round.
  kPurpose,
};

/// A sentence for the client; "" for kNone. It says nothing that helps to forge a token.
[[nodiscard]] const char* describe(TokenFault fault);

/// A token whose signature is not verified yet: only its key and algorithm may be read.
struct SignedToken {
  TokenAlgorithm algorithm = TokenAlgorithm::kHs256;
  /// The name of the key; empty if the token names none.
  std::string key_id;
  /// The bytes that are signed: header and payload, as they were sent.
  std::string_view signed_text;
  /// The JSON of the claims.
  std::string payload;
  std::array<uint8_t, bounds::kTokenSignatureBytesMax> signature;
  size_t signature_bytes = 0;
};

/// The action that a grant allows on its names. The claim `grants` has one member for each.
enum class Action : uint8_t { kSubscribe, kPublish, kPresence, kHistory };
constexpr size_t kActionCount = 4;

/// Names, prefixes ("a/*") and patterns of each action.
using GrantTexts = std::array<std::vector<std::string>, kActionCount>;

struct Claims {
  /// `sub`: the user; empty for none.
  std::string user;
  /// `jti`: for revocation.
  std::string id;
  /// `iss` and `aud`.
  std::string issuer;
  std::vector<std::string> audiences;
  /// `exp`, `nbf` and `iat`, in seconds of the epoch; 0 if there is none.
  uint64_t expires_at_s = 0;
  uint64_t not_before_s = 0;
  uint64_t issued_at_s = 0;
  /// `channels`: subscribed when the client connects.
  std::vector<std::string> channels;
  /// `channel`: a token for this channel alone, which cannot open a connection.
  std::string channel;
  GrantTexts grants;
  /// `info`: any JSON, shown in presence.
  std::string info;
  /// Not of a token: decided by the application, or of a client certificate.
  bool is_by_decision = false;
};

/// Reads the parts and the header of a compact token.
[[nodiscard]] TokenFault parse_token(std::string_view text, SignedToken* out);

/// Reads the claims of a payload whose signature is verified. Unknown claims are ignored.
[[nodiscard]] TokenFault parse_claims(std::string_view payload, Claims* out);

}  // namespace megacomet

// Reading tokens. See token.h.
#include "auth/token.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <utility>

#include "base/ascii.h"
#include "codec/base64url.h"
#include "codec/json_reader.h"

namespace megacomet {

namespace {

using ClaimsObject = JsonObjectOf<bounds::kTokenClaimsMax>;

constexpr std::string_view kActionNames[kActionCount] = {
    "subscribe", "publish", "presence", "history"};
/// 2^53: integers up to it are exact in JSON of JavaScript (RFC 8259 6).
constexpr double kSecondsMax = 9007199254740992.0;

/// The value of a string member; false for any other type, or one that is too long.
bool read_string(const JsonMember& member, size_t bytes_max, std::string* out) {
  if (member.type != JsonType::kString) return false;
  out->resize(member.value.size());
  out->resize(unescape_json(member.value, out->data()));
  return out->size() <= bytes_max;
}

/// An optional string. A missing one leaves `out` empty.
bool take_string(const JsonMembers& object, std::string_view name, std::string* out) {
  const JsonMember* member = object.find(name);
  return member == nullptr || read_string(*member, bounds::kTokenNameBytesMax, out);
}

/// A name of a table: not empty, and without control characters, which a table's keys may use.
bool take_name(const JsonMembers& object, std::string_view name, std::string* out) {
  if (object.find(name) == nullptr) return true;
  return take_string(object, name, out) && !out->empty() &&
         std::none_of(out->begin(), out->end(), ascii::is_control);
}

bool read_strings(std::string_view array, size_t count_max, std::vector<std::string>* out) {
  JsonStrings strings(array);
  std::string_view raw;
  while (strings.next(&raw)) {
    if (out->size() == count_max) return false;
    std::string text(raw.size(), '\0');
    text.resize(unescape_json(raw, text.data()));
    if (text.size() > bounds::kChannelBytesMax) return false;
    out->push_back(std::move(text));
  }
  return strings.is_complete();
}

bool take_strings(const JsonMembers& object,
                  std::string_view name,
                  size_t count_max,
                  std::vector<std::string>* out) {
  const JsonMember* member = object.find(name);
  return member == nullptr ||
         (member->type == JsonType::kArray && read_strings(member->value, count_max, out));
}

/// A NumericDate: any JSON number (RFC 7519 2). Fractions are cut off, so a token ends early rather
/// than late.
bool take_seconds(const JsonMembers& object, std::string_view name, uint64_t* out) {
  const JsonMember* member = object.find(name);
  if (member == nullptr) return true;
  if (member->type != JsonType::kNumber) return false;
  // strtod() and not std::from_chars(), which needs a newer libstdc++ than Node. No program changes
  // the locale of a worker.
  const std::string text(member->value);
  const double seconds = std::strtod(text.c_str(), nullptr);
  if (!(seconds >= 0 && seconds < kSecondsMax)) return false;
  *out = static_cast<uint64_t>(seconds);
  return true;
}

/// 0 means that there is none, so a token that ended at the epoch ends a second later.
bool take_expiry(const JsonMembers& object, uint64_t* out) {
  if (!take_seconds(object, "exp", out)) return false;
  if (object.find("exp") != nullptr && *out == 0) *out = 1;
  return true;
}

/// One string, or an array of them (RFC 7519 4.1.3).
bool take_audiences(const JsonMembers& object, std::vector<std::string>* out) {
  const JsonMember* member = object.find("aud");
  if (member == nullptr || member->type == JsonType::kArray) {
    return take_strings(object, "aud", bounds::kTokenAudiencesMax, out);
  }
  return read_string(*member, bounds::kTokenNameBytesMax, &out->emplace_back());
}

/// `{"subscribe":["news/*"],"publish":["chat"]}`. An unknown action is a fault: its issuer would
/// believe in a right that does not exist.
bool take_grants(const JsonMembers& object, GrantTexts* out) {
  const JsonMember* member = object.find("grants");
  if (member == nullptr) return true;
  JsonObjectOf<kActionCount> actions;
  if (member->type != JsonType::kObject || actions.parse(member->value) != JsonFault::kNone) {
    return false;
  }
  size_t known = 0;
  for (size_t action = 0; action < kActionCount; ++action) {
    if (actions.find(kActionNames[action]) == nullptr) continue;
    ++known;
    if (!take_strings(actions, kActionNames[action], bounds::kGrantNamesMax, &(*out)[action])) {
      return false;
    }
  }
  return known == actions.size();
}

bool take_info(const JsonMembers& object, std::string* out) {
  const JsonMember* member = object.find("info");
  if (member == nullptr) return true;
  const bool is_string = member->type == JsonType::kString;
  *out = is_string ? '"' + std::string(member->value) + '"' : std::string(member->value);
  return out->size() <= bounds::kTokenInfoBytesMax;
}

bool decode(std::string_view encoded, std::string* out) {
  out->resize(base64url_bytes(encoded.size()));
  return base64url_decode(encoded, reinterpret_cast<uint8_t*>(out->data()));
}

/// The algorithm by its name. "none" is not among them.
TokenFault read_algorithm(const JsonMembers& header, TokenAlgorithm* out) {
  std::string name;
  const JsonMember* member = header.find("alg");
  if (member == nullptr || !read_string(*member, bounds::kTokenNameBytesMax, &name)) {
    return TokenFault::kMalformed;
  }
  constexpr std::string_view kNames[] = {"HS256", "RS256", "ES256", "EdDSA"};
  for (size_t index = 0; index < std::size(kNames); ++index) {
    if (name != kNames[index]) continue;
    *out = static_cast<TokenAlgorithm>(index);
    return TokenFault::kNone;
  }
  return TokenFault::kAlgorithm;
}

/// "JWT" or "at+jwt" (RFC 9068 2.1), in any case; other types of token mean something else.
bool is_token_type(const JsonMembers& header) {
  std::string type;
  if (!take_string(header, "typ", &type)) return false;
  for (char& letter : type) letter = ascii::to_lower(letter);
  return type.empty() || type == "jwt" || type == "at+jwt" || type == "application/at+jwt";
}

TokenFault read_header(std::string_view text, SignedToken* out) {
  JsonObject header;
  if (header.parse(text) != JsonFault::kNone) return TokenFault::kMalformed;
  // Extensions that must be understood (RFC 7515 4.1.11), and tokens inside a token: none is here.
  if (header.find("crit") != nullptr || header.find("cty") != nullptr)
    return TokenFault::kMalformed;
  if (!is_token_type(header) || !take_string(header, "kid", &out->key_id)) {
    return TokenFault::kMalformed;
  }
  return read_algorithm(header, &out->algorithm);
}

}  // namespace

const char* describe(TokenFault fault) {
  switch (fault) {
    case TokenFault::kNone:
      return "";
    case TokenFault::kMalformed:
      return "token: not a valid JSON Web Token";
    case TokenFault::kAlgorithm:
      return "token: signed with another algorithm";
    case TokenFault::kUnknownKey:
      return "token: signed with an unknown key";
    case TokenFault::kKeyPending:
      return "token: its key is not known yet; retry later";
    case TokenFault::kSignature:
      return "token: the signature is wrong";
    case TokenFault::kExpired:
      return "token: expired";
    case TokenFault::kNoExpiry:
      return "token: without exp";
    case TokenFault::kNotYetValid:
      return "token: not valid yet";
    case TokenFault::kIssuer:
      return "token: from another issuer";
    case TokenFault::kAudience:
      return "token: for another audience";
    case TokenFault::kRevoked:
      return "token: revoked";
    case TokenFault::kUser:
      return "token: of another user";
    case TokenFault::kUserFull:
      return "user: too many connections; retry later";
    case TokenFault::kPurpose:
      return "token: for another purpose";
  }
  return "";
}

TokenFault parse_token(std::string_view text, SignedToken* out) {
  const size_t first = text.find('.');
  const size_t second = first == std::string_view::npos ? first : text.find('.', first + 1);
  if (text.size() > bounds::kTokenBytesMax || second == std::string_view::npos) {
    return TokenFault::kMalformed;
  }
  const std::string_view signature = text.substr(second + 1);
  out->signature_bytes = base64url_bytes(signature.size());
  std::string header;
  if (out->signature_bytes == 0 || out->signature_bytes > out->signature.size() ||
      !base64url_decode(signature, out->signature.data()) ||
      !decode(text.substr(0, first), &header) ||
      !decode(text.substr(first + 1, second - first - 1), &out->payload)) {
    return TokenFault::kMalformed;
  }
  out->signed_text = text.substr(0, second);
  return read_header(header, out);
}

TokenFault parse_claims(std::string_view payload, Claims* out) {
  ClaimsObject object;
  const bool is_valid =
      object.parse(payload) == JsonFault::kNone && take_name(object, "sub", &out->user) &&
      take_name(object, "jti", &out->id) && take_string(object, "iss", &out->issuer) &&
      take_audiences(object, &out->audiences) && take_expiry(object, &out->expires_at_s) &&
      take_seconds(object, "nbf", &out->not_before_s) &&
      take_seconds(object, "iat", &out->issued_at_s) &&
      take_strings(object, "channels", bounds::kGrantNamesMax, &out->channels) &&
      take_name(object, "channel", &out->channel) && take_grants(object, &out->grants) &&
      take_info(object, &out->info);
  return is_valid ? TokenFault::kNone : TokenFault::kMalformed;
}

}  // namespace megacomet

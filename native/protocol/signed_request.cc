// The text of a signed URL. See signed_request.h.
#include "protocol/signed_request.h"

#include <algorithm>
#include <string>

#include "base/ascii.h"
#include "protocol/comet_request.h"

namespace megacomet {

namespace {

constexpr std::string_view kExpires = "expires";

/// Whether a client may change the parameter without a new signature.
bool is_free(std::string_view name) {
  return name == "_" || cursor_name(name) != CursorName::kNone;
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), ascii::is_control);
}

/// Seconds of the epoch in one way only: no sign, no blank, no leading zero; until 2106.
bool take_expiry(std::string_view text, uint32_t* out) {
  uint64_t seconds = 0;
  const bool is_plain =
      !text.empty() && text.front() != '0' && ascii::parse_unsigned(text, &seconds);
  // Zero is that of a URL without an expiry, and means that none was read before.
  if (!is_plain || seconds >= UINT32_MAX || *out != 0) return false;
  *out = static_cast<uint32_t>(seconds);
  return true;
}

bool take_signature(std::string_view text, std::string* out) {
  if (text.empty() || !out->empty()) return false;
  out->assign(text);
  return true;
}

bool take_covered(std::string_view name, std::string_view value, SignedUrl* out) {
  if (name.find('=') != std::string_view::npos || has_control(name) || has_control(value)) {
    return false;
  }
  out->text.append(1, '\n').append(name).append(1, '=').append(value);
  return name != kExpires || take_expiry(value, &out->expires_at_s);
}

bool take_path(std::string_view path, std::string* out) {
  out->resize(path.size());
  size_t size = 0;
  const bool is_decoded = percent_decode(path, out->data(), out->size(), &size) == Decoding::kDone;
  out->resize(size);
  return is_decoded && !has_control(*out);
}

}  // namespace

UrlFault read_signed_url(const Target& target, SignedUrl* out) {
  if (!take_path(target.path, &out->text)) return UrlFault::kMalformed;
  std::string buffer(target.query.size(), '\0');
  ParameterReader reader(target.query, buffer.data(), buffer.size());
  Parameter parameter;
  while (reader.next(&parameter)) {
    if (is_free(parameter.name)) continue;
    std::string_view value;
    if (reader.decode(parameter.encoded, &value) != Decoding::kDone) return UrlFault::kMalformed;
    const bool is_taken = parameter.name == kSignatureParameter
                              ? take_signature(value, &out->signature)
                              : take_covered(parameter.name, value, out);
    if (!is_taken) return UrlFault::kMalformed;
  }
  const bool is_whole = !reader.has_skipped() && !out->signature.empty() && out->expires_at_s != 0;
  return is_whole ? UrlFault::kNone : UrlFault::kMalformed;
}

}  // namespace megacomet

// The parsers of targets and parameters. See url_codec.h.
#include "codec/url_codec.h"

#include "base/bounds.h"

namespace megacomet {

namespace {

constexpr uint16_t kHttpPort = 80;
constexpr uint16_t kHttpsPort = 443;

constexpr ascii::CharSet kHostName = ascii::kAlphanumeric.with("-._~");
constexpr ascii::CharSet kHostAddress =
    ascii::kDigits.with_range('a', 'f').with_range('A', 'F').with(":.");

/// The length of the host at the start; 0 if there is none.
size_t host_span(std::string_view text) {
  if (text.empty() || text[0] != '[') return kHostName.span(text);
  const size_t address = kHostAddress.span(text.substr(1));
  const size_t end = 1 + address;
  return address > 0 && end < text.size() && text[end] == ']' ? end + 1 : 0;
}

/// Removes a scheme and its "://" from the front, in any case.
bool take_scheme(std::string_view* text, std::string_view scheme) {
  if (!ascii::equals(text->substr(0, scheme.size()), scheme)) return false;
  text->remove_prefix(scheme.size());
  return true;
}

void split_query(std::string_view text, Target* out) {
  const size_t mark = text.find('?');
  out->path = text.substr(0, mark);
  if (mark != std::string_view::npos) out->query = text.substr(mark + 1);
}

/// Reads the rest of an absolute URL, after its scheme.
bool parse_absolute(std::string_view rest, Target* out) {
  const size_t end = rest.find_first_of("/?");
  if (!parse_authority(rest.substr(0, end), &out->authority)) return false;
  out->form = TargetForm::kAbsolute;
  if (end != std::string_view::npos) split_query(rest.substr(end), out);
  // RFC 9110 4.2.3: an empty path is the root.
  if (out->path.empty()) out->path = "/";
  return true;
}

Decoding decode_into(
    std::string_view text, bool is_form, char* out, size_t capacity, size_t* size) {
  size_t written = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    char byte = text[at];
    if (byte == '%') {
      const int high = at + 1 < text.size() ? ascii::hex_value(text[at + 1]) : -1;
      const int low = at + 2 < text.size() ? ascii::hex_value(text[at + 2]) : -1;
      if (high < 0 || low < 0) return Decoding::kBadEscape;
      byte = static_cast<char>(high << 4 | low);
      at += 2;
    } else if (is_form && byte == '+') {
      byte = ' ';
    }
    if (byte == '\0') return Decoding::kZeroByte;
    if (written == capacity) return Decoding::kTooLong;
    out[written++] = byte;
  }
  *size = written;
  return Decoding::kDone;
}

}  // namespace

bool parse_authority(std::string_view text, Authority* out) {
  const size_t host = host_span(text);
  if (host == 0 || host > bounds::kHttpHostBytesMax) return false;
  *out = Authority{text.substr(0, host), 0, false};
  std::string_view rest = text.substr(host);
  if (rest.empty()) return true;
  if (rest[0] != ':') return false;
  rest.remove_prefix(1);
  // RFC 3986 3.2.3: a colon without a port is valid.
  if (rest.empty()) return true;
  uint64_t port = 0;
  if (!ascii::parse_unsigned(rest, &port) || port > UINT16_MAX) return false;
  out->port = static_cast<uint16_t>(port);
  out->has_port = true;
  return true;
}

bool is_same(const Authority& one, const Authority& other, uint16_t default_port) {
  const uint16_t one_port = one.has_port ? one.port : default_port;
  const uint16_t other_port = other.has_port ? other.port : default_port;
  return one_port == other_port && ascii::equals(one.host, other.host);
}

bool parse_target(std::string_view text, Target* out) {
  *out = Target{};
  if (text.empty() || !kTargetText.has_all(text)) return false;
  if (text[0] == '/') {
    split_query(text, out);
    return true;
  }
  if (text == "*") {
    out->form = TargetForm::kAsterisk;
    return true;
  }
  std::string_view rest = text;
  if (take_scheme(&rest, "http://")) {
    out->default_port = kHttpPort;
    return parse_absolute(rest, out);
  }
  if (take_scheme(&rest, "https://")) {
    out->default_port = kHttpsPort;
    return parse_absolute(rest, out);
  }
  // RFC 9112 3.2.3: the port is required here, so "favicon.ico" is not a target.
  out->form = TargetForm::kAuthority;
  return parse_authority(text, &out->authority) && out->authority.has_port;
}

Decoding percent_decode(std::string_view text, char* out, size_t capacity, size_t* size) {
  return decode_into(text, false, out, capacity, size);
}

Decoding ParameterReader::decode(std::string_view encoded, std::string_view* out) {
  size_t size = 0;
  const Decoding decoding = decode_into(encoded, true, buffer_, left_, &size);
  if (decoding != Decoding::kDone) return decoding;
  *out = {buffer_, size};
  buffer_ += size;
  left_ -= size;
  return decoding;
}

bool ParameterReader::next(Parameter* out) {
  while (!rest_.empty()) {
    const std::string_view pair = rest_.substr(0, rest_.find('&'));
    rest_.remove_prefix(pair.size() < rest_.size() ? pair.size() + 1 : pair.size());
    const size_t mark = pair.find('=');
    if (pair.empty()) continue;
    if (decode(pair.substr(0, mark), &out->name) != Decoding::kDone) {
      has_skipped_ = true;
      continue;
    }
    out->encoded = mark == std::string_view::npos ? std::string_view() : pair.substr(mark + 1);
    return true;
  }
  return false;
}

}  // namespace megacomet

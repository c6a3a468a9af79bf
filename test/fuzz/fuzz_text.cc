// Fuzz target for the text codecs: UTF-8 against a validator by code points; base64, numbers,
// targets, percent-encoding and parameters by round trips.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/ascii.h"
#include "base/check.h"
#include "codec/digest.h"
#include "codec/url_codec.h"
#include "codec/utf8.h"
#include "escaped.h"

using namespace megacomet;
using fuzz::escaped;

namespace {

/// The bytes of the next character by the arithmetic of RFC 3629 3; 0 if there is none.
size_t character_bytes(std::string_view text) {
  const auto lead = static_cast<uint8_t>(text[0]);
  if (lead < 0x80) return 1;
  size_t size = 0;
  while (size < 8 && (lead << size & 0x80) != 0) ++size;
  if (size < 2 || size > 4 || size > text.size()) return 0;
  uint32_t code = lead & (0x7fU >> size);
  for (const char byte : text.substr(1, size - 1)) {
    if ((static_cast<uint8_t>(byte) & 0xc0) != 0x80) return 0;
    code = code << 6 | (static_cast<uint8_t>(byte) & 0x3f);
  }
  const size_t shortest = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  if (size != shortest || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return 0;
  return size;
}

void check_utf8(std::string_view text, size_t part) {
  std::string_view rest = text;
  size_t count = 1;
  while (!rest.empty() && (count = character_bytes(rest)) > 0) rest.remove_prefix(count);
  const bool wanted = count > 0;
  MC_CHECK(is_valid_utf8(text) == wanted);
  Utf8Reader reader;
  bool is_valid = true;
  for (size_t at = 0; at < text.size(); at += part) {
    const bool is_valid_now = reader.feed(text.substr(at, part));
    // An invalid text stays invalid.
    MC_CHECK(is_valid || !is_valid_now);
    is_valid = is_valid_now;
  }
  MC_CHECK((is_valid && reader.is_complete()) == wanted);
}

void check_base64(std::string_view text) {
  std::string encoded(base64_size(text.size()), '\0');
  base64_encode(reinterpret_cast<const uint8_t*>(text.data()), text.size(), encoded.data());
  std::vector<uint8_t> bytes(text.size());
  size_t size = 0;
  MC_CHECK(base64_decode(encoded, bytes.data(), bytes.size(), &size));
  MC_CHECK(std::string(bytes.begin(), bytes.end()) == text && size == text.size());

  // The reverse: a text that decodes is the text that the encoder writes.
  bytes.resize(text.size() / 4 * 3);
  if (base64_decode(text, bytes.data(), bytes.size(), &size)) {
    encoded.assign(base64_size(size), '\0');
    base64_encode(bytes.data(), size, encoded.data());
    MC_CHECK(encoded == text);
  }
  char accept[kWebsocketAcceptBytes];
  if (is_websocket_key(text)) websocket_accept(text, accept);
}

void check_number(std::string_view text) {
  uint64_t number = 0;
  if (ascii::parse_unsigned(text, &number)) MC_CHECK(std::to_string(number) == text);
}

void check_escapes(std::string_view text, size_t room) {
  std::vector<char> out(text.size());
  size_t size = 0;
  const Decoding whole = percent_decode(text, out.data(), out.size(), &size);
  MC_CHECK(whole != Decoding::kTooLong);
  if (whole == Decoding::kDone) {
    const std::string decoded(out.data(), size);
    MC_CHECK(decoded.find('\0') == std::string::npos);
    const std::string again = escaped(decoded);
    std::vector<char> tight(size);
    MC_CHECK(percent_decode(again, tight.data(), size, &size) == Decoding::kDone);
    MC_CHECK(std::string(tight.data(), size) == decoded);
  }
  std::vector<char> little(room);
  (void)percent_decode(text, little.data(), room, &size);
}

/// Every parameter is the same after it is written with all bytes escaped and read again.
void check_parameters(std::string_view text) {
  std::vector<char> buffer(text.size());
  ParameterReader reader(text, buffer.data(), buffer.size());
  Parameter parameter;
  while (reader.next(&parameter)) {
    std::string_view value;
    const Decoding decoding = reader.decode(parameter.encoded, &value);
    MC_CHECK(decoding != Decoding::kTooLong);
    if (decoding != Decoding::kDone) continue;
    const std::string again = escaped(parameter.name) + "=" + escaped(value);
    std::vector<char> memory(again.size());
    ParameterReader second(again, memory.data(), memory.size());
    Parameter copy;
    MC_CHECK(second.next(&copy) && copy.name == parameter.name);
    std::string_view same;
    MC_CHECK(second.decode(copy.encoded, &same) == Decoding::kDone && same == value);
    MC_CHECK(!second.next(&copy));
  }
}

/// The parts of a target add up to the target.
void check_target(std::string_view text) {
  Target target;
  if (!parse_target(text, &target)) return;
  const std::string path(target.path);
  const std::string query(target.query);
  switch (target.form) {
    case TargetForm::kOrigin:
      MC_CHECK(path + "?" + query == text || (query.empty() && path == text));
      break;
    case TargetForm::kAsterisk:
      MC_CHECK(text == "*" && path.empty());
      break;
    case TargetForm::kAuthority:
      MC_CHECK(target.authority.has_port && path.empty() && query.empty());
      break;
    case TargetForm::kAbsolute: {
      MC_CHECK(!path.empty() && path[0] == '/');
      Target again;
      std::string normal = target.default_port == 80 ? "http://" : "https://";
      normal += target.authority.host;
      if (target.authority.has_port) normal += ":" + std::to_string(target.authority.port);
      normal += path + "?" + query;
      MC_CHECK(parse_target(normal, &again));
      MC_CHECK(is_same(again.authority, target.authority, target.default_port));
      MC_CHECK(again.path == path && again.query == query);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  // A copy of exact size, so that the sanitizer detects a read past its end.
  const std::vector<char> tight(data + 1, data + size);
  const std::string_view text(tight.data(), tight.size());
  check_utf8(text, 1 + size_t{data[0]});
  check_base64(text);
  check_number(text);
  check_escapes(text, data[0]);
  check_parameters(text);
  check_target(text);
  return 0;
}

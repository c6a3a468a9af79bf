// Fuzz target for signed URLs: the text that a signature covers names path and parameters in one
// way only, so that a signed URL cannot be turned into one with another meaning.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/ascii.h"
#include "base/check.h"
#include "codec/url_codec.h"
#include "escaped.h"
#include "protocol/comet_request.h"
#include "protocol/signed_request.h"

using namespace megacomet;
using fuzz::escaped;

namespace {

/// In memory of exactly that size, so that the sanitizer detects a read past its end.
UrlFault read(std::string_view path, std::string_view query, SignedUrl* out) {
  const std::vector<char> tight_path(path.begin(), path.end());
  const std::vector<char> tight_query(query.begin(), query.end());
  Target target;
  target.path = {tight_path.data(), tight_path.size()};
  target.query = {tight_query.data(), tight_query.size()};
  return read_signed_url(target, out);
}

/// Removes the first line from a text, and returns it.
std::string_view take_line(std::string_view* text) {
  const std::string_view line = text->substr(0, text->find('\n'));
  text->remove_prefix(line.size() < text->size() ? line.size() + 1 : line.size());
  return line;
}

/// The text has a line for each covered parameter, in their order, and nothing else: an equals sign
/// in a name, or a line end, would give two URLs with another meaning one text.
void check_lines(std::string_view path, std::string_view query, const SignedUrl& url) {
  std::string_view rest = url.text;
  std::vector<char> decoded(path.size());
  size_t size = 0;
  MC_CHECK(percent_decode(path, decoded.data(), decoded.size(), &size) == Decoding::kDone);
  MC_CHECK(take_line(&rest) == std::string_view(decoded.data(), size));
  std::vector<char> buffer(query.size());
  ParameterReader reader(query, buffer.data(), buffer.size());
  Parameter parameter;
  while (reader.next(&parameter)) {
    const bool is_cursor = cursor_name(parameter.name) != CursorName::kNone;
    if (is_cursor || parameter.name == "_" || parameter.name == kSignatureParameter) continue;
    const std::string_view line = take_line(&rest);
    const size_t equals = line.find('=');
    MC_CHECK(equals != std::string_view::npos && line.substr(0, equals) == parameter.name);
    std::string_view value;
    MC_CHECK(reader.decode(parameter.encoded, &value) == Decoding::kDone);
    MC_CHECK(line.substr(equals + 1) == value);
  }
  MC_CHECK(rest.empty());
}

/// The query that a signed text describes, with every character escaped, and its path.
std::string query_of(const SignedUrl& url, std::string* path) {
  std::string_view rest = url.text;
  *path = escaped(take_line(&rest));
  std::string query;
  while (!rest.empty()) {
    const std::string_view line = take_line(&rest);
    const size_t equals = line.find('=');
    query += escaped(line.substr(0, equals)) + '=' + escaped(line.substr(equals + 1)) + '&';
  }
  return query + "signature=" + escaped(url.signature);
}

void check_same(const SignedUrl& one, const SignedUrl& other) {
  MC_CHECK(one.text == other.text && one.signature == other.signature);
  MC_CHECK(one.expires_at_s == other.expires_at_s);
}

void check(std::string_view path, std::string_view query) {
  SignedUrl url;
  if (read(path, query, &url) != UrlFault::kNone) return;
  MC_CHECK(!url.signature.empty() && url.expires_at_s != 0);
  const std::string expires = "\nexpires=" + std::to_string(url.expires_at_s);
  const size_t at = url.text.find(expires);
  MC_CHECK(at != std::string::npos);
  MC_CHECK(url.text.find("\nexpires=", at + 1) == std::string::npos);
  for (const char byte : url.text) MC_CHECK(byte == '\n' || !ascii::is_control(byte));
  check_lines(path, query, url);
  // The text alone gives the same URL again.
  std::string again_path;
  const std::string again_query = query_of(url, &again_path);
  SignedUrl again;
  MC_CHECK(read(again_path, again_query, &again) == UrlFault::kNone);
  check_same(url, again);
  // A client adds its cursor, and nothing that is covered.
  SignedUrl resumed;
  MC_CHECK(read(path, std::string(query) + "&since=%zz&_=1", &resumed) == UrlFault::kNone);
  check_same(url, resumed);
  SignedUrl more;
  const UrlFault fault = read(path, std::string(query) + "&x=1", &more);
  MC_CHECK(fault == UrlFault::kNone && more.text == url.text + "\nx=1");
  SignedUrl twice;
  MC_CHECK(read(path, std::string(query) + "&expires=1", &twice) == UrlFault::kMalformed);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t mark = text.find('?');
  const bool has_query = mark != std::string_view::npos;
  const std::string_view path = text.substr(0, mark);
  const std::string_view query = has_query ? text.substr(mark + 1) : std::string_view();
  check(path, query);
  // Most inputs have neither: with both, the parameters before them are checked.
  check(path, std::string(query) + "&expires=2000000000&signature=c2ln");
  return 0;
}

// Tests of request targets, percent-encoding and parameters.
#include "codec/url_codec.h"

#include <string>
#include <utility>
#include <vector>

#include "base/bounds.h"
#include "support/unit.h"

using namespace megacomet;
using namespace std::string_view_literals;

namespace {

/// "form host:port path?query" of a target; "rejected" if the text is not a target.
std::string described(std::string_view text) {
  const std::vector<char> tight(text.begin(), text.end());
  Target target;
  if (!parse_target({tight.data(), tight.size()}, &target)) return "rejected";
  constexpr const char* kForms[] = {"origin", "absolute", "authority", "asterisk"};
  std::string description = kForms[static_cast<size_t>(target.form)];
  description += " " + std::string(target.authority.host);
  if (target.authority.has_port) description += ":" + std::to_string(target.authority.port);
  description += " " + std::string(target.path) + "?" + std::string(target.query);
  return description;
}

bool is_authority(std::string_view text) {
  Authority authority;
  return parse_authority(text, &authority);
}

bool is_same_host(std::string_view one, std::string_view other) {
  Authority first;
  Authority second;
  return parse_authority(one, &first) && parse_authority(other, &second) &&
         is_same(first, second, 80);
}

const char* name_of(Decoding decoding) {
  constexpr const char* kNames[] = {"done", "bad escape", "zero byte", "too long"};
  return kNames[static_cast<size_t>(decoding)];
}

std::string path_of(std::string_view text, size_t capacity = 100) {
  const std::vector<char> tight(text.begin(), text.end());
  std::vector<char> out(capacity);
  size_t size = 0;
  const Decoding decoding =
      percent_decode({tight.data(), tight.size()}, out.data(), capacity, &size);
  if (decoding != Decoding::kDone) return name_of(decoding);
  return {out.data(), size};
}

/// "name=value;" for each parameter, or the error of its value.
std::string parameters_of(std::string_view text, size_t capacity) {
  std::vector<char> buffer(capacity);
  ParameterReader reader(text, buffer.data(), capacity);
  std::vector<std::pair<std::string_view, std::string_view>> all;
  Parameter parameter;
  while (reader.next(&parameter)) {
    std::string_view value;
    const Decoding decoding = reader.decode(parameter.encoded, &value);
    all.emplace_back(parameter.name, decoding == Decoding::kDone ? value : name_of(decoding));
  }
  EXPECT(!reader.next(&parameter));
  // Read after the last call, because all views must stay valid.
  std::string description;
  for (const auto& [name, value] : all) {
    description += std::string(name) + "=" + std::string(value) + ";";
  }
  return description;
}

std::string parameters_of(std::string_view text) {
  return parameters_of(text, text.size());
}

}  // namespace

TEST("a target has one of four forms") {
  EXPECT(described("/") == "origin  /?");
  EXPECT(described("/a/b?c=d?e") == "origin  /a/b?c=d?e");
  EXPECT(described("/?") == "origin  /?");
  EXPECT(described("//a/../b%zz") == "origin  //a/../b%zz?");
  EXPECT(described("/a|b[c]{d}\\^`?e|f") == "origin  /a|b[c]{d}\\^`?e|f");
  EXPECT(described("http://a") == "absolute a /?");
  EXPECT(described("http://a/") == "absolute a /?");
  EXPECT(described("HTTPS://a.b:8443/c?d") == "absolute a.b:8443 /c?d");
  EXPECT(described("http://a?b") == "absolute a /?b");
  EXPECT(described("http://[::1]:80/a") == "absolute [::1]:80 /a?");
  EXPECT(described("*") == "asterisk  ?");
  EXPECT(described("a:80") == "authority a:80 ?");
  EXPECT(described("[2001:db8::1]:443") == "authority [2001:db8::1]:443 ?");
}

TEST("a text of any other form is rejected") {
  for (const std::string_view text : {""sv,
                                      "a"sv,
                                      "a/b"sv,
                                      "?a"sv,
                                      "**"sv,
                                      "a:"sv,
                                      "a:80/"sv,
                                      "a:65536"sv,
                                      "http:"sv,
                                      "http://"sv,
                                      "http:///a"sv,
                                      "http://?a"sv,
                                      "http://a:b/"sv,
                                      "http://user@a/"sv,
                                      "http://user:word@a/"sv,
                                      "http://a,b/"sv,
                                      "http:/a"sv,
                                      "ftp://a/"sv,
                                      "ws://a/"sv,
                                      "/a#b"sv,
                                      "/a b"sv,
                                      "/\"a\""sv,
                                      "/<a>"sv,
                                      "/a\0"sv,
                                      "/a\r"sv,
                                      "/a\x7f"sv,
                                      "/\xc3\xa4"sv}) {
    if (!EXPECT(described(text) == "rejected")) unit::fail(__FILE__, __LINE__, std::string(text));
  }
}

TEST("an authority is a host and an optional port") {
  for (const char* text : {"a",
                           "A-b_c.d~e",
                           "127.0.0.1",
                           "127.0.0.1:8080",
                           "a:",
                           "a:0",
                           "a:65535",
                           "[::1]",
                           "[::ffff:127.0.0.1]:1",
                           "[2001:DB8::1]:"}) {
    if (!EXPECT(is_authority(text))) unit::fail(__FILE__, __LINE__, text);
  }
  for (const char* text :
       {"",        ":",      ":80",     "a:65536",    "a:-1",  "a:+80",  "a:080",
        "a:8 ",    "a: 80",  "a:80:80", "a b",        " a",    "a/",     "a?",
        "u@a",     "a,b",    "[]",      "[::1",       "::1",   "[::1]a", "[::1%1]",
        "[g]",     "[v1.a]", "a%41",    "a\t",        "a\\b",  "a#",     "\xc3\xa4",
        "[[::1]]", "a;b",    "a!",      "99999999:a", "a:1e2", "a:0x50"}) {
    if (!EXPECT(!is_authority(text))) unit::fail(__FILE__, __LINE__, text);
  }
  EXPECT(is_authority(std::string(bounds::kHttpHostBytesMax, 'a') + ":80"));
  EXPECT(!is_authority(std::string(bounds::kHttpHostBytesMax + 1, 'a')));
}

TEST("authorities are equal in any case, and with or without the default port") {
  EXPECT(is_same_host("Example.COM", "example.com"));
  EXPECT(is_same_host("a:80", "a"));
  EXPECT(is_same_host("a:", "a"));
  EXPECT(is_same_host("[::A]:1", "[::a]:1"));
  EXPECT(!is_same_host("a:81", "a"));
  EXPECT(!is_same_host("a:0", "a"));
  EXPECT(!is_same_host("a", "b"));
  EXPECT(!is_same_host("a.", "a"));
}

TEST("percent-encoding is decoded, and a plus sign in a path is not a space") {
  EXPECT(path_of("").empty());
  EXPECT(path_of("/a+b%20c%2Fd%2fe") == "/a+b c/d/e");
  EXPECT(path_of("%e2%82%AC%25%ff") == "\xe2\x82\xac%\xff");
  EXPECT(path_of("%2525") == "%25");
}

TEST("invalid escapes, zero bytes and a full buffer are distinct errors") {
  for (const char* text : {"%", "a%", "%4", "a%4", "%4g", "%g4", "%%41", "% 41", "%u0041", "%-1"}) {
    if (!EXPECT(path_of(text) == "bad escape")) unit::fail(__FILE__, __LINE__, text);
  }
  EXPECT(path_of("a%00b") == "zero byte");
  EXPECT(path_of("a\0b"sv) == "zero byte");
  EXPECT(path_of("abc", 3) == "abc");
  EXPECT(path_of("abc", 2) == "too long");
  EXPECT(path_of("%61%62", 2) == "ab");
  EXPECT(path_of("a", 0) == "too long");
  EXPECT(path_of("", 0).empty());
}

TEST("parameters are decoded in order, and their views stay valid") {
  EXPECT(parameters_of("").empty());
  EXPECT(parameters_of("a=b") == "a=b;");
  EXPECT(parameters_of("a=b&c=d&a=e") == "a=b;c=d;a=e;");
  EXPECT(parameters_of("a") == "a=;");
  EXPECT(parameters_of("a=&=b&=") == "a=;=b;=;");
  EXPECT(parameters_of("&&a&&b&") == "a=;b=;");
  EXPECT(parameters_of("a=b=c") == "a=b=c;");
  EXPECT(parameters_of("a+b=%2B+%26%3d") == "a b=+ &=;");
  EXPECT(parameters_of("a;b=c") == "a;b=c;");
  EXPECT(parameters_of("a=b?c/d") == "a=b?c/d;");
}

TEST("a parameter that cannot be decoded harms no other one") {
  EXPECT(parameters_of("a=b&c=%zz&d=e") == "a=b;c=bad escape;d=e;");
  EXPECT(parameters_of("a=b&%=c&d=%") == "a=b;d=bad escape;");
  EXPECT(parameters_of("a=b&c=%00") == "a=b;c=zero byte;");
  EXPECT(parameters_of("a=bc&d=ef", 6) == "a=bc;d=ef;");
  EXPECT(parameters_of("a=bc&d=ef", 5) == "a=bc;d=too long;");
  EXPECT(parameters_of("a=b", 0).empty());
}

TEST("no function reads random text past its end") {
  constexpr std::string_view kBytes = "/?&=%+:@[]*ah2pst.#0\0 f"sv;
  for (int round = 0; round < 30'000; ++round) {
    std::string text(unit::upto(30), '\0');
    for (char& byte : text) byte = kBytes[unit::upto(kBytes.size() - 1)];
    const std::vector<char> tight(text.begin(), text.end());
    const std::string_view view(tight.data(), tight.size());
    (void)described(view);
    (void)is_authority(view);
    const size_t room = unit::upto(text.size());
    EXPECT(path_of(view, room).size() <= std::max(room, "bad escape"sv.size()));
    // A buffer of the text's length is always large enough.
    EXPECT(parameters_of(view).find("too long") == std::string::npos);
  }
}

// Tests of the text that the signature of a URL covers.
#include "protocol/signed_request.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/unit.h"

using namespace megacomet;

namespace {

constexpr std::string_view kEnd = "&expires=2000000000&signature=c2ln";

UrlFault read(std::string_view text, SignedUrl* out) {
  Target target;
  if (!EXPECT(parse_target(text, &target))) return UrlFault::kNone;
  return read_signed_url(target, out);
}

/// The text of a URL that is valid but for its signature; "" for another one.
std::string text_of(std::string_view target) {
  SignedUrl url;
  return read(std::string(target).append(kEnd), &url) == UrlFault::kNone ? url.text : "";
}

bool is_malformed(const std::string& target) {
  SignedUrl url;
  return read(target, &url) == UrlFault::kMalformed;
}

}  // namespace

TEST("the signed text has a line for the path and for each parameter, in their order") {
  SignedUrl url;
  EXPECT(read("/events?signature=c2ln&b=2&channel=a&expires=7&channel=c", &url) == UrlFault::kNone);
  EXPECT(url.text == "/events\nb=2\nchannel=a\nexpires=7\nchannel=c");
  EXPECT(url.signature == "c2ln" && url.expires_at_s == 7);
}

TEST("each spelling of a character is the same text, and another text is another one") {
  constexpr std::string_view kWanted = "/a b\nc d=e+f&\nexpires=2000000000";
  for (const char* target : {"/a%20b?c%20d=e%2bf%26", "/%61%20b?c+d=e%2Bf%26"}) {
    EXPECT(text_of(target) == kWanted);
  }
  EXPECT(text_of("/a+b?x=1") == "/a+b\nx=1\nexpires=2000000000");
  EXPECT(text_of("/%C3%A9?x=%ff") == "/\xc3\xa9\nx=\xff\nexpires=2000000000");
  EXPECT(text_of("/../a//b?x") == "/../a//b\nx=\nexpires=2000000000");
  EXPECT(text_of("http://host/a?x") == text_of("/a?x"));
}

TEST("cursors and the parameter that defeats caches are not covered") {
  const std::string plain = text_of("/events?channel=a");
  for (const char* name : {"since", "cursor", "lastEventId", "Last-Event-ID", "SINCE", "_"}) {
    EXPECT(text_of("/events?channel=a&" + std::string(name) + "=%ff%zz") == plain);
  }
  for (const char* name : {"__", "sinc", "cursors", "s", ""}) {
    EXPECT(text_of("/events?channel=a&" + std::string(name) + "=1") != plain);
  }
}

TEST("no two URLs that mean something else have the same text") {
  // A line end, or an equals sign in a name, would make one parameter look like two.
  for (const char* target : {"/events?a=1%0ab=2",
                             "/events?a%0ab=2",
                             "/events?a%3db=2",
                             "/events%0aa=1?b=2",
                             "/events?a=%00",
                             "/events?a=%7f",
                             "/events?a%01=1",
                             "/%00?a=1",
                             "/%zz?a=1",
                             "/events?a=%",
                             "/events?a=%4",
                             "/events?%zz=1"}) {
    EXPECT(text_of(target).empty());
  }
  EXPECT(text_of("/events?a=b=2") == "/events\na=b=2\nexpires=2000000000");
}

TEST("an expiry is there once, in plain digits below 2^32 - 1") {
  for (const char* expires : {"1", "4294967294"}) {
    SignedUrl url;
    EXPECT(read("/e?signature=s&expires=" + std::string(expires), &url) == UrlFault::kNone);
    EXPECT(std::to_string(url.expires_at_s) == expires);
  }
  for (const char* expires : {"",
                              "0",
                              "01",
                              "-1",
                              "%2b1",
                              "+1",
                              "1+",
                              "1.0",
                              "1e9",
                              "0x10",
                              "4294967295",
                              "4294967296",
                              "18446744073709551617",
                              "%EF%BC%91",
                              "1&expires=1",
                              "1&expires=2",
                              "1&e%78pires=2"}) {
    EXPECT(is_malformed("/e?signature=s&expires=" + std::string(expires)));
  }
  EXPECT(is_malformed("/e?signature=s"));
  EXPECT(is_malformed("/e?signature=s&Expires=7"));
}

TEST("a signature is there once, under its own name") {
  for (const char* query : {"",
                            "&signature",
                            "&signature=",
                            "&Signature=s",
                            "&signature=s&signature=s",
                            "&signature=s&signature=",
                            "&signature=s&%73ignature=t",
                            "&signature=%zz",
                            "&signature=%00"}) {
    EXPECT(is_malformed("/e?expires=7" + std::string(query)));
  }
  EXPECT(!is_malformed("/e?expires=7&%73ignature=s"));
}

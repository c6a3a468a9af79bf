// Tests of the cookies of a request.
#include "protocol/request_cookies.h"

#include <string>

#include "support/unit.h"

using namespace megacomet;

namespace {

struct Case {
  std::string fields;
  std::string value;
};

std::string cookie_of(const std::string& fields, std::string_view name = "a") {
  const std::string text = "GET / HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n";
  HeadProgress progress;
  HttpHead head;
  if (!EXPECT(parse_head(text, &progress, &head).status == HeadStatus::kComplete)) return "?";
  return std::string(cookie_in(head, name));
}

}  // namespace

TEST("a cookie is found by its whole name, anywhere in the list, in any line") {
  const Case cases[] = {
      {"", ""},
      {"Cookie: a=1\r\n", "1"},
      {"cookie: b=2; a=1; c=3\r\n", "1"},
      {"Cookie: b=2;a=1\r\n", "1"},
      {"Cookie: b=2;   a=1;\r\n", "1"},
      {"Cookie: b=2\r\nCookie: a=1\r\n", "1"},
      {"Cookie: aa=2; xa=3; A=4\r\n", ""},
      {"X-Cookie: a=1\r\n", ""},
      {"Cookie: b=a=1\r\n", ""},
  };
  for (const auto& [fields, value] : cases) EXPECT(cookie_of(fields) == value);
}

TEST("the value is everything up to the semicolon, without decoding") {
  EXPECT(cookie_of("Cookie: a=x=y%20\"z\"; b=2\r\n") == "x=y%20\"z\"");
  EXPECT(cookie_of("Cookie: a=1 ; b=2\r\n") == "1 ");
}

TEST("of several cookies with the name the first counts, and an empty one is none") {
  EXPECT(cookie_of("Cookie: a=1; a=2\r\nCookie: a=3\r\n") == "1");
  EXPECT(cookie_of("Cookie: a=; b=2\r\n").empty());
  EXPECT(cookie_of("Cookie: a=\r\nCookie: a=3\r\n") == "3");
  EXPECT(cookie_of("Cookie: a; b=2\r\n").empty());
  EXPECT(cookie_of("Cookie: ;;=; =x\r\n").empty());
  EXPECT(cookie_of("Cookie: a=1\r\n", "b").empty());
}

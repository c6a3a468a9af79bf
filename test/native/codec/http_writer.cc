// Tests of the response writer: exact bytes, its limit, and values that could forge a line.
#include "codec/http_writer.h"

#include <string>
#include <vector>

#include "support/unit.h"

using namespace megacomet;
using namespace std::string_view_literals;

namespace {

/// Writes one response into a buffer of exactly this size.
std::string response(size_t capacity) {
  std::vector<char> buffer(capacity);
  HttpWriter writer(buffer.data(), capacity);
  writer.status(200);
  writer.field("Content-Type", "text/plain; charset=utf-8");
  writer.number("Content-Length", 2);
  writer.finish();
  writer.content("ok");
  EXPECT_EQUAL(writer.is_ok(), !writer.written().empty());
  return std::string(writer.written());
}

bool is_written(std::string_view name, std::string_view value) {
  char buffer[200];
  HttpWriter writer(buffer, sizeof buffer);
  writer.field(name, value);
  // After a rejection nothing is written.
  writer.status(200);
  return writer.is_ok() && !writer.written().empty();
}

std::string first_line(uint16_t code) {
  char buffer[100];
  HttpWriter writer(buffer, sizeof buffer);
  writer.status(code);
  return std::string(writer.written());
}

}  // namespace

TEST("a response is written byte for byte, or not at all if the buffer is too small") {
  const std::string whole =
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 2\r\n\r\nok";
  EXPECT(response(200) == whole);
  EXPECT(response(whole.size()) == whole);
  for (size_t capacity = 0; capacity < whole.size(); ++capacity) {
    EXPECT(response(capacity).empty());
  }
}

TEST("a known status has its phrase, and an unknown one none") {
  EXPECT(first_line(101) == "HTTP/1.1 101 Switching Protocols\r\n");
  EXPECT(first_line(431) == "HTTP/1.1 431 Request Header Fields Too Large\r\n");
  EXPECT(first_line(299) == "HTTP/1.1 299 \r\n");
  EXPECT(first_line(999) == "HTTP/1.1 999 \r\n");
  EXPECT(unit::aborts([] { (void)first_line(99); }));
  EXPECT(unit::aborts([] { (void)first_line(1000); }));
}

TEST("names and values that could forge a line are rejected") {
  EXPECT(is_written("A", ""));
  EXPECT(is_written("X-Id", "a b\tc; \xc3\xa4\""));
  for (const std::string_view value : {"a\r\nSet-Cookie: b"sv,
                                       "a\rb"sv,
                                       "a\nb"sv,
                                       "a\r\n\r\nb"sv,
                                       "\r"sv,
                                       "\n"sv,
                                       "a\0b"sv,
                                       "a\x7f"sv,
                                       "a\x1b[0m"sv,
                                       "a\v"sv}) {
    EXPECT(!is_written("A", value));
  }
  for (const std::string_view name :
       {""sv, "A:"sv, "A B"sv, "A\r\nB"sv, "A\n"sv, "A\0"sv, "\xc3\xa4"sv, "A: b\r\nC"sv}) {
    EXPECT(!is_written(name, "a"));
  }
}

TEST("a number is written with all its digits") {
  char buffer[100];
  HttpWriter writer(buffer, sizeof buffer);
  writer.number("A", UINT64_MAX);
  writer.number("B", 0);
  EXPECT(writer.written() == "A: 18446744073709551615\r\nB: 0\r\n");
}

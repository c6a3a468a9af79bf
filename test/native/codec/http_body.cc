// Tests of the chunked decoder: what it takes, all that it must refuse, and that the split of the
// bytes never matters.
#include "codec/http_body.h"

#include <string>
#include <vector>

#include "base/bounds.h"
#include "codec/http_codec.h"
#include "support/unit.h"

using namespace megacomet;
using namespace std::string_view_literals;

namespace {

constexpr uint64_t kBytesMax = 1000;

/// Reads a body that comes in parts of at most `part_max`: "content|left over", "content|more", or
/// the status that it is refused with.
std::string in_parts(std::string_view bytes, size_t part_max, uint64_t bytes_max = kBytesMax) {
  ChunkedBody body(bytes_max);
  std::string content;
  for (size_t at = 0; at < bytes.size();) {
    const size_t size = std::min(bytes.size() - at, 1 + unit::upto(part_max - 1));
    // A copy of exact size, so that a sanitizer sees a read past its end.
    const std::vector<char> part(bytes.begin() + static_cast<ptrdiff_t>(at),
                                 bytes.begin() + static_cast<ptrdiff_t>(at + size));
    std::string_view rest(part.data(), part.size());
    std::string_view data;
    BodyStep step = BodyStep::kMore;
    while ((step = body.next(&rest, &data)) == BodyStep::kData) {
      EXPECT(!data.empty());
      content += data;
    }
    at += size - rest.size();
    if (step == BodyStep::kBad) return std::to_string(body.answer());
    if (step == BodyStep::kEnd) return content + "|" + std::string(bytes.substr(at));
    EXPECT(rest.empty());
  }
  return content + "|more";
}

/// However the bytes are split, they come to the same end; returns that end.
std::string anyhow(std::string_view bytes, uint64_t bytes_max = kBytesMax) {
  const std::string wanted = in_parts(bytes, bytes.size() + 1, bytes_max);
  for (const size_t part_max : {size_t{1}, size_t{2}, size_t{7}}) {
    const std::string found = in_parts(bytes, part_max, bytes_max);
    if (!EXPECT(found == wanted)) unit::fail(__FILE__, __LINE__, found);
  }
  return wanted;
}

void expect_ends(const std::vector<std::pair<std::string_view, std::string_view>>& cases) {
  for (const auto& [bytes, wanted] : cases) {
    const std::string found = anyhow(bytes);
    if (!EXPECT(found == wanted)) unit::fail(__FILE__, __LINE__, std::string(bytes) + found);
  }
}

}  // namespace

TEST("a chunked body is its chunks, one after the other") {
  expect_ends({
      {"0\r\n\r\n", "|"},
      {"5\r\nhello\r\n0\r\n\r\nGET /", "hello|GET /"},
      {"1\r\na\r\n00A\r\n0123456789\r\n0\r\n\r\n", "a0123456789|"},
      {"a\r\n0123456789\r\n000\r\n\r\n", "0123456789|"},
      {"4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n|"},
      {"000000000000001\r\na\r\n0\r\n\r\n", "a|"},
      {"", "|more"},
      {"5\r\nhel", "hel|more"},
      {"5\r\nhello\r\n0\r\n\r", "hello|more"},
  });
}

TEST("a size that is none is refused") {
  expect_ends({
      {"\r\n", "400"},
      {"g\r\n", "400"},
      {"-1\r\n", "400"},
      {"+1\r\n", "400"},
      {"0x1\r\n", "400"},
      {" 1\r\n", "400"},
      {"1 \r\na\r\n", "400"},
      {"1\t\r\na\r\n", "400"},
      {"1\n", "400"},
      {"1\r\r\n", "400"},
      {"1\ra\r\n", "400"},
      {"1,1\r\n", "400"},
      {"1.\r\n", "400"},
      {"1_\r\n", "400"},
      {"\n1\r\n", "400"},
      {"1\0\r\n"sv, "400"},
      {"0000000000000001\r\n", "400"},
      {"ffffffffffffffff\r\n", "400"},
      {"10000000000000000\r\n", "400"},
  });
}

TEST("a chunk ends where its size says, or the body is refused") {
  expect_ends({
      {"1\r\nab\r\n0\r\n\r\n", "400"},
      {"1\r\na\n0\r\n\r\n", "400"},
      {"1\r\na0\r\n\r\n", "400"},
      {"1\r\na\rb", "400"},
      {"2\r\na\r\n0\r\n\r\n", "400"},
      {"1\r\na\r\n\r\n", "400"},
      {"1\r\na\r\n0\r\n\n", "400"},
      {"0\r\n\ra", "400"},
  });
}

TEST("extensions of a chunk are checked and dropped") {
  expect_ends({
      {"1;a\r\nx\r\n0;b\r\n\r\n", "x|"},
      {"1;a=b\r\nx\r\n0\r\n\r\n", "x|"},
      {"1;a=b;c;d=\"e\"\r\nx\r\n0\r\n\r\n", "x|"},
      {"1;a=\"b c\\\"\\\\;=\xc3\t\";d\r\nx\r\n0\r\n\r\n", "x|"},
      {"1;a=\"\"\r\nx\r\n0\r\n\r\n", "x|"},
      {"1;\r\nx", "400"},
      {"1;;a\r\nx", "400"},
      {"1;=b\r\nx", "400"},
      {"1;a=\r\nx", "400"},
      {"1;a=;b\r\nx", "400"},
      {"1; a\r\nx", "400"},
      {"1 ;a\r\nx", "400"},
      {"1;a =b\r\nx", "400"},
      {"1;a= b\r\nx", "400"},
      {"1;a=b \r\nx", "400"},
      {"1;a=b=c\r\nx", "400"},
      {"1;a=\"b\r\nx", "400"},
      {"1;a=\"b\"c\r\nx", "400"},
      {"1;a=\"\\\r\n\"\r\nx", "400"},
      {"1;a=b\"c\"\r\nx", "400"},
      {"1;a\nx\r\n0\r\n\r\n", "400"},
      {"1;a=\"b\nc\"\r\nx", "400"},
      {"1;a\rb\r\nx", "400"},
      {"1;a\0\r\nx"sv, "400"},
      {";a\r\n", "400"},
  });
}

TEST("the extensions of a chunk have a limit, each chunk anew") {
  const std::string longest(bounds::kHttpChunkExtensionBytesMax, 'a');
  const std::string chunk = "1;" + longest + "\r\nx\r\n";
  EXPECT(anyhow(chunk + chunk + "0;" + longest + "\r\n\r\n") == "xx|");
  EXPECT(anyhow("1;a" + longest) == "400");
  EXPECT(anyhow("1;a=\"" + longest) == "400");
}

TEST("trailers are checked and dropped") {
  expect_ends({
      {"0\r\nA: b\r\n\r\nc", "|c"},
      {"0\r\nA:\r\nB: c: d\r\nX-Sum: 1\r\n\r\n", "|"},
      {"0\r\nA: b\r\n", "|more"},
      {"0\r\nA\r\n\r\n", "400"},
      {"0\r\n: b\r\n\r\n", "400"},
      {"0\r\nA : b\r\n\r\n", "400"},
      {"0\r\n A: b\r\n\r\n", "400"},
      {"0\r\nA: b\r\n c\r\n\r\n", "400"},
      {"0\r\nA: b\n\r\n", "400"},
      {"0\r\nA: b\rc\r\n\r\n", "400"},
      {"0\r\nA: b\0\r\n\r\n"sv, "400"},
      {"0\r\nGET / HTTP/1.1\r\n\r\n", "400"},
  });
}

TEST("the trailers of a body have a limit together") {
  const std::string front =
      "0\r\n" + std::string(bounds::kHttpTrailerBytesMax / 2 - 1, 'a') + ":\r\n";
  const std::string rest = "A: " + std::string(bounds::kHttpTrailerBytesMax / 2 - 3, 'b');
  EXPECT(anyhow(front + rest + "\r\n\r\n") == "|");
  EXPECT(anyhow(front + rest + "b") == "431");
  EXPECT(anyhow("0\r\n" + std::string(bounds::kHttpTrailerBytesMax + 1, 'a')) == "431");
}

TEST("a trailer that the head would have been judged by is refused") {
#define X(identifier, name, repeats)                         \
  EXPECT(anyhow("0\r\n" name ": a\r\n\r\n") == "400");       \
  EXPECT(anyhow("0\r\nA: b\r\n" name ":\r\n\r\n") == "400"); \
  EXPECT(anyhow("0\r\n" name "-a: b\r\nx-" name ": c\r\n\r\n") == "|");
  MC_HTTP_FIELDS(X)
#undef X
  EXPECT(anyhow("0\r\nTRANSFER-Encoding: chunked\r\n\r\n") == "400");
  // Longer than any known name, and the same up to there, or at the end.
  EXPECT(anyhow("0\r\naccess-control-request-headersxxxxxxxxx: a\r\n\r\n") == "|");
  EXPECT(anyhow("0\r\n" + std::string(256, 'a') + ": b\r\n\r\n") == "|");
  EXPECT(anyhow("0\r\n" + std::string(256, 'a') + "host: b\r\n\r\n") == "|");
}

TEST("the content of a body has a limit, known before a byte too many is taken") {
  EXPECT(anyhow("5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n", 10) == "helloworld|");
  EXPECT(anyhow("5\r\nhello\r\n6\r\n", 10) == "413");
  EXPECT(anyhow("b\r\n", 10) == "413");
  EXPECT(anyhow("fffffffffffffff\r\n", UINT64_MAX) == "|more");
  EXPECT(anyhow("0\r\n\r\n", 0) == "|");
  EXPECT(anyhow("1\r\n", 0) == "413");
}

TEST("a body that is over, or was refused, stays so and takes no more bytes") {
  for (const std::string_view bytes : {"0\r\n\r\n1\r\na\r\n"sv, "0\r\nHost: a\r\n1\r\na\r\n"sv}) {
    ChunkedBody body(kBytesMax);
    std::string_view rest = bytes;
    std::string_view data;
    const BodyStep first = body.next(&rest, &data);
    EXPECT(first == BodyStep::kEnd || first == BodyStep::kBad);
    const size_t left = rest.size();
    EXPECT(left > 0);
    EXPECT(body.next(&rest, &data) == first);
    EXPECT_EQUAL(rest.size(), left);
  }
}

TEST("random content comes back, and random faults come to the same end however they are split") {
  constexpr std::string_view kBytes = "\r\n\0;=\"\\ 0af:\x80"sv;
  for (int round = 0; round < 10'000; ++round) {
    std::string bytes;
    std::string content;
    for (uint64_t count = unit::upto(5); count > 0; --count) {
      const std::string data(1 + unit::upto(30), static_cast<char>(unit::upto(255)));
      char size[32];
      std::snprintf(
          size, sizeof size, unit::upto(1) == 0 ? "%zx\r\n" : "%03zX;a=\"b\"\r\n", data.size());
      bytes += size + data + "\r\n";
      content += data;
    }
    bytes += unit::upto(1) == 0 ? "0\r\n\r\n" : "0;a\r\nB: c\r\n\r\n";
    if (!EXPECT(in_parts(bytes, 1 + unit::upto(40)) == content + "|")) return;
    for (uint64_t faults = 1 + unit::upto(2); faults > 0; --faults) {
      bytes[unit::upto(bytes.size() - 1)] = kBytes[unit::upto(kBytes.size() - 1)];
    }
    if (!EXPECT(in_parts(bytes, 1) == in_parts(bytes, bytes.size()))) return;
  }
}

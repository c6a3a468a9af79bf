// Tests of the JSON writer: escapes, and texts that are written and read again.
#include "codec/json_writer.h"

#include <string>

#include "codec/json_reader.h"
#include "codec/utf8.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

std::string unescaped(std::string_view raw) {
  std::string text(raw.size(), '\0');
  text.resize(unescape_json(raw, text.data()));
  return text;
}

std::string escaped(std::string_view text) {
  std::string json;
  append_json_string(text, &json);
  return json;
}

/// A random character as UTF-8, by its plain formula. Control characters and quotes often.
std::string random_character() {
  const uint64_t bits = unit::upto(4);
  uint64_t point = unit::upto((uint64_t{1} << (bits * 5)) + 34);
  if (point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) point = 0x2028 + point % 2;
  if (point < 0x80) return {static_cast<char>(point)};
  const auto tail = [point](int shift) {
    return static_cast<char>(0x80 | (point >> shift & 0x3f));
  };
  if (point < 0x800) return {static_cast<char>(0xc0 | point >> 6), tail(0)};
  if (point < 0x10000) return {static_cast<char>(0xe0 | point >> 12), tail(6), tail(0)};
  return {static_cast<char>(0xf0 | point >> 18), tail(12), tail(6), tail(0)};
}

}  // namespace

TEST("a string is escaped for JSON and for scripts") {
  EXPECT(escaped("") == "\"\"");
  EXPECT(escaped("a/b") == "\"a/b\"");
  EXPECT(escaped("\"\\\n\r\t") == R"("\"\\\n\r\t")");
  EXPECT(escaped(std::string("\0\x01\x08\x0c\x1f\x7f", 6)) ==
         "\"\\u0000\\u0001\\u0008\\u000c\\u001f\x7f\"");
  EXPECT(escaped("a\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa\xe2\x82\xac") ==
         "\"a\\u2028\\u2029\xe2\x80\xaa\xe2\x82\xac\"");
  // A truncated character is not UTF-8; the writer must not read past its end.
  EXPECT(escaped("\xe2\x80") == "\"\xe2\x80\"");
}

TEST("any text is restored from the JSON that was written for it") {
  for (int round = 0; round < 5000; ++round) {
    std::string text;
    for (uint64_t count = unit::upto(12); count > 0; --count) text += random_character();
    if (!EXPECT(is_valid_utf8(text))) return;
    const std::string json = "{\"k\":" + escaped(text) + "}";
    JsonObject object;
    if (!EXPECT(object.parse(json) == JsonFault::kNone)) return;
    if (!EXPECT(unescaped(object.begin()->value) == text)) return;
  }
}

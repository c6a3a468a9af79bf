// Tests of the UTF-8 validator: the edges of every range, all short texts against a validator by
// code points, and any split.
#include "codec/utf8.h"

#include <string>
#include <vector>

#include "support/unit.h"

using namespace megacomet;

namespace {

struct Case {
  const char* text;
  bool is_valid;
};

constexpr Case kCases[] = {
    {"", true},
    {"plain", true},
    {"\x7f", true},
    {"\xc2\x80", true},          // U+0080, the first of two bytes.
    {"\xdf\xbf", true},          // U+07FF
    {"\xe0\xa0\x80", true},      // U+0800
    {"\xed\x9f\xbf", true},      // U+D7FF, before the surrogates.
    {"\xee\x80\x80", true},      // U+E000, behind them.
    {"\xef\xbb\xbf", true},      // A byte order mark is a character.
    {"\xef\xbf\xbf", true},      // U+FFFF is not a character, but valid.
    {"\xf0\x90\x80\x80", true},  // U+10000
    {"\xf4\x8f\xbf\xbf", true},  // U+10FFFF
    {"eight by8 \xe2\x82\xac and more than eight", true},
    {"\x80", false},
    {"\xbf", false},
    {"\xc0\x80", false},  // Overlong zero, as Java writes it.
    {"\xc1\xbf", false},
    {"\xe0\x80\x80", false},
    {"\xe0\x9f\xbf", false},      // Overlong U+07FF
    {"\xed\xa0\x80", false},      // U+D800
    {"\xed\xbf\xbf", false},      // U+DFFF
    {"\xf0\x80\x80\x80", false},  // Overlong
    {"\xf0\x8f\xbf\xbf", false},  // Overlong U+FFFF
    {"\xf4\x90\x80\x80", false},  // U+110000
    {"\xf5\x80\x80\x80", false},
    {"\xf8\x88\x80\x80\x80", false},
    {"\xfe", false},
    {"\xff", false},
    {"\xc3", false},  // Cut.
    {"\xe2\x82", false},
    {"\xf0\x9f\x98", false},
    {"\xc3(", false},
    {"\xe2(\xa1", false},
    {"\xe2\x82(", false},
    {"\xf0\x9f\x98(", false},
    {"12345678\x80", false},
    {"1234567\xc3\xa4"
     "12345678\xff",
     false},
};

/// The length of one valid character by the arithmetic of RFC 3629 3; 0 if there is none.
size_t character_bytes(const uint8_t* bytes, size_t size) {
  const uint8_t lead = bytes[0];
  if (lead < 0x80) return 1;
  const size_t wanted = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc0 || lead >= 0xf8 || size < wanted) return 0;
  uint32_t code = lead & (0xffU >> (wanted + 1));
  for (size_t at = 1; at < wanted; ++at) {
    if ((bytes[at] & 0xc0) != 0x80) return 0;
    code = code << 6 | (bytes[at] & 0x3f);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool is_surrogate = code >= 0xd800 && code <= 0xdfff;
  return code >= kLeast[wanted] && code <= 0x10ffff && !is_surrogate ? wanted : 0;
}

bool is_valid_by_arithmetic(const std::string& text) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  for (size_t at = 0; at < text.size();) {
    const size_t count = character_bytes(bytes + at, text.size() - at);
    if (count == 0) return false;
    at += count;
  }
  return true;
}

/// Validates a text in two parts, each in memory of exact size.
bool is_valid_split(const std::string& text, size_t at) {
  const std::vector<char> front(text.begin(), text.begin() + static_cast<ptrdiff_t>(at));
  const std::vector<char> back(text.begin() + static_cast<ptrdiff_t>(at), text.end());
  Utf8Reader reader;
  const bool is_begun = reader.feed({front.data(), front.size()});
  const bool is_valid = reader.feed({back.data(), back.size()});
  return is_begun && is_valid && reader.is_complete();
}

std::string random_text() {
  // Bytes near the edges, and ASCII, so that both results are common.
  constexpr char kBytes[] =
      "a\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xe1\xec\xed\xee\xef"
      "\xf0\xf1\xf3\xf4\xf5\xff";
  constexpr const char* kCharacters[] = {"a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
  std::string text;
  for (uint64_t count = unit::upto(20); count > 0; --count) text += kCharacters[unit::upto(3)];
  for (uint64_t faults = unit::upto(2); faults > 0 && !text.empty(); --faults) {
    text[unit::upto(text.size() - 1)] = kBytes[unit::upto(sizeof kBytes - 2)];
  }
  return text;
}

}  // namespace

TEST("the edges of every range are valid, and the bytes beyond are not") {
  for (const Case& each : kCases) {
    const std::string text = each.text;
    if (!EXPECT_EQUAL(is_valid_utf8(text), each.is_valid)) unit::fail(__FILE__, __LINE__, text);
    EXPECT_EQUAL(is_valid_by_arithmetic(text), each.is_valid);
    for (size_t at = 0; at <= text.size(); ++at) {
      EXPECT_EQUAL(is_valid_split(text, at), each.is_valid);
    }
  }
}

TEST("every text of up to three bytes gives the same result as the arithmetic") {
  std::string text;
  for (unsigned first = 0; first < 256; ++first) {
    text.assign(1, static_cast<char>(first));
    EXPECT_EQUAL(is_valid_utf8(text), is_valid_by_arithmetic(text));
    text.resize(2);
    for (unsigned second = 0; second < 256; ++second) {
      text[1] = static_cast<char>(second);
      EXPECT_EQUAL(is_valid_utf8(text), is_valid_by_arithmetic(text));
    }
    if (first < 0xe0) continue;
    text.resize(3);
    for (unsigned rest = 0; rest < 0x10000; ++rest) {
      text[1] = static_cast<char>(rest >> 8);
      text[2] = static_cast<char>(rest);
      if (!EXPECT_EQUAL(is_valid_utf8(text), is_valid_by_arithmetic(text))) return;
    }
  }
}

TEST("an invalid byte is found at every position among ASCII bytes") {
  for (size_t size = 1; size <= 40; ++size) {
    for (size_t at = 0; at < size; ++at) {
      std::string text(size, 'a');
      EXPECT(is_valid_utf8(text));
      text[at] = '\x80';
      EXPECT(!is_valid_utf8(text));
    }
  }
}

TEST("every code point except the surrogates is valid UTF-8") {
  for (uint32_t code = 0x10000; code < 0x120000; code += 0x3f) {
    const char text[] = {static_cast<char>(0xf0 | code >> 18),
                         static_cast<char>(0x80 | (code >> 12 & 0x3f)),
                         static_cast<char>(0x80 | (code >> 6 & 0x3f)),
                         static_cast<char>(0x80 | (code & 0x3f))};
    if (!EXPECT_EQUAL(is_valid_utf8({text, sizeof text}), code <= 0x10ffff)) return;
  }
}

TEST("random text gives the same result in any split, and as the arithmetic") {
  size_t valid = 0;
  for (int round = 0; round < 20'000; ++round) {
    const std::string text = random_text();
    const bool wanted = is_valid_by_arithmetic(text);
    valid += wanted ? 1 : 0;
    if (!EXPECT_EQUAL(is_valid_split(text, unit::upto(text.size())), wanted)) return;
    Utf8Reader reader;
    bool is_valid = true;
    for (const char& byte : text) is_valid = reader.feed({&byte, 1});
    if (!EXPECT_EQUAL(is_valid && reader.is_complete(), wanted)) return;
  }
  EXPECT(valid > 2000 && valid < 18'000);
}

TEST("an invalid text is detected at its first invalid byte, and stays invalid") {
  Utf8Reader reader;
  EXPECT(reader.feed("\xf4"));
  EXPECT(!reader.is_complete());
  const Utf8Reader copy = reader;
  EXPECT(!reader.feed("\x90"));
  EXPECT(!reader.feed(""));
  EXPECT(!reader.feed("plain text"));
  EXPECT(!reader.is_complete());
  Utf8Reader again = copy;
  EXPECT(again.feed("\x8f\xbf\xbf"));
  EXPECT(again.is_complete());
}

// Tests of sets of bytes, comparison without case, and strict numbers.
#include "base/ascii.h"

#include <string>

#include "support/unit.h"

using namespace megacomet;
using namespace std::string_view_literals;

TEST("a set of bytes has the bytes of its definition, and no other") {
  constexpr ascii::CharSet kSet =
      ascii::CharSet().with("\x00\xff"sv).with_range('a', 'c').with_range(0x3f, 0x40).without("b");
  std::string found;
  for (unsigned byte = 0; byte < 256; ++byte) {
    if (kSet.has(static_cast<char>(byte))) found += static_cast<char>(byte);
  }
  EXPECT(found == "\x00?@ac\xff"sv);
  EXPECT_EQUAL(kSet.span("aacab"), 4U);
  EXPECT_EQUAL(kSet.span("b"), 0U);
  EXPECT_EQUAL(kSet.span(""), 0U);
  EXPECT(kSet.has_all("") && kSet.has_all("ac") && !kSet.has_all("acb"));
}

TEST("tokens and field text follow RFC 9110") {
  for (unsigned byte = 0; byte < 256; ++byte) {
    const char text = static_cast<char>(byte);
    const bool is_visible = byte > 0x20 && byte < 0x7f;
    const bool is_delimiter = "\"(),/:;<=>?@[\\]{}"sv.find(text) != std::string_view::npos;
    EXPECT_EQUAL(ascii::is_token({&text, 1}), is_visible && !is_delimiter);
    EXPECT_EQUAL(ascii::kFieldText.has(text), byte == '\t' || (byte >= 0x20 && byte != 0x7f));
  }
  EXPECT(!ascii::is_token(""));
  EXPECT(ascii::is_token("X-Real-IP"));
  EXPECT(!ascii::is_token("X Real"));
}

TEST("a span of field text ends at the first byte outside the set, at every position") {
  for (int byte = 0; byte < 256; ++byte) {
    for (size_t size = 1; size <= 20; ++size) {
      for (size_t at = 0; at < size; ++at) {
        std::string text(size, at % 2 == 0 ? ' ' : '\xff');
        text[at] = static_cast<char>(byte);
        size_t run = 0;
        while (run < size && ascii::kFieldText.has(text[run])) ++run;
        if (!EXPECT_EQUAL(ascii::kFieldText.span(text), run)) return;
      }
    }
  }
}

TEST("comparison ignores the case of ASCII letters, and nothing else") {
  EXPECT(ascii::equals("", ""));
  EXPECT(ascii::equals("Content-LENGTH", "content-length"));
  EXPECT(!ascii::equals("content-lengt", "content-length"));
  EXPECT(!ascii::equals("content\rlength", "content-length"));
  EXPECT(!ascii::equals("[", "{"));
  EXPECT(!ascii::equals("@", "`"));
  EXPECT(!ascii::equals("\xc4", "\xe4"));
  // Unicode folds the Kelvin sign to k.
  EXPECT(!ascii::equals("\xe2\x84\xaa", "k"));
}

TEST("trim removes blanks at the start and the end only") {
  EXPECT(ascii::trim(" \t a b\t ", ascii::kBlanks) == "a b");
  EXPECT(ascii::trim("\ta ", ascii::kSpace) == "\ta");
  EXPECT(ascii::trim(" \t ", ascii::kBlanks).empty());
  EXPECT(ascii::trim("", ascii::kBlanks).empty());
}

TEST("hexadecimal digits have their values, in both cases") {
  for (unsigned byte = 0; byte < 256; ++byte) {
    const size_t at = "0123456789abcdef"sv.find(ascii::to_lower(static_cast<char>(byte)));
    const int wanted = at == std::string_view::npos ? -1 : static_cast<int>(at);
    EXPECT_EQUAL(ascii::hex_value(static_cast<char>(byte)), wanted);
  }
}

TEST("a number has one spelling, with digits only") {
  uint64_t value = 0;
  EXPECT(ascii::parse_unsigned("0", &value) && value == 0);
  EXPECT(ascii::parse_unsigned("10", &value) && value == 10);
  EXPECT(ascii::parse_unsigned("18446744073709551615", &value) && value == UINT64_MAX);
  value = 7;
  for (const std::string_view text : {""sv,
                                      "00"sv,
                                      "01"sv,
                                      "+5"sv,
                                      "-1"sv,
                                      "-0"sv,
                                      "0x5"sv,
                                      "5 "sv,
                                      " 5"sv,
                                      "5\0"sv,
                                      "5,5"sv,
                                      "1e3"sv,
                                      "1.0"sv,
                                      "1_000"sv,
                                      "/"sv,
                                      ":"sv,
                                      "\xd9\xa1"sv,
                                      "18446744073709551616"sv,
                                      "18446744073709551620"sv,
                                      "99999999999999999999"sv,
                                      "184467440737095516150"sv}) {
    EXPECT(!ascii::parse_unsigned(text, &value));
  }
  EXPECT_EQUAL(value, 7U);
}

// Status lines and fields of responses. See http_writer.h.
#include "codec/http_writer.h"

#include <charconv>
#include <cstring>

#include "base/ascii.h"
#include "base/check.h"

namespace megacomet {

namespace {

constexpr std::string_view kLineBreak = "\r\n";

struct Phrase {
  uint16_t code;
  std::string_view text;
};

/// RFC 9110 15 and RFC 6585. Any other code has an empty phrase, which RFC 9112 4 allows.
constexpr Phrase kPhrases[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {411, "Length Required"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
};

/// Digits of 2^64 - 1.
constexpr size_t kNumberCharacters = 20;

}  // namespace

void HttpWriter::put(std::string_view bytes) {
  if (bytes.size() > capacity_ - size_) is_ok_ = false;
  if (!is_ok_ || bytes.empty()) return;
  std::memcpy(buffer_ + size_, bytes.data(), bytes.size());
  size_ += bytes.size();
}

void HttpWriter::status(uint16_t code) {
  MC_CHECK(code >= 100 && code <= 999);
  char digits[3];
  std::to_chars(digits, digits + sizeof digits, code);
  put("HTTP/1.1 ");
  put({digits, sizeof digits});
  put(" ");
  for (const Phrase& phrase : kPhrases) {
    if (phrase.code == code) put(phrase.text);
  }
  put(kLineBreak);
}

void HttpWriter::field(std::string_view name, std::string_view value) {
  if (!ascii::is_token(name) || !ascii::kFieldText.has_all(value)) is_ok_ = false;
  put(name);
  put(": ");
  put(value);
  put(kLineBreak);
}

void HttpWriter::number(std::string_view name, uint64_t value) {
  char digits[kNumberCharacters];
  const std::to_chars_result result = std::to_chars(digits, digits + sizeof digits, value);
  field(name, {digits, static_cast<size_t>(result.ptr - digits)});
}

void HttpWriter::finish() {
  put(kLineBreak);
}

}  // namespace megacomet

// Request targets: their parts, percent-encoding, the parameters of a query.
// In place over the caller's bytes; what has to be decoded goes into the caller's buffer. No path
// is tidied up: "/a/../b" is a name like any other. No I/O, no allocation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/ascii.h"

namespace megacomet {

/// What a request target may hold. RFC 3986 allows less, but browsers send `|`, `{` or `[` as they
/// are; the URL standard has them encode the four that are left out here, and all beyond ASCII.
inline constexpr ascii::CharSet kTargetText = ascii::kVisible.without("\"#<>");

/// The host and port of an http(s) URL or of a Host field.
struct Authority {
  std::string_view host;  // A name, an IPv4 address, or an IPv6 address in brackets.
  uint16_t port = 0;
  bool has_port = false;
};

/// Reads `host[:port]` (RFC 9110 4.2.1, 7.2). False for user names, lists, empty hosts, names of
/// more than kHttpHostBytesMax, and escapes: no name that anyone looks up has them.
[[nodiscard]] bool parse_authority(std::string_view text, Authority* out);

/// Whether both name the same host and port, where `default_port` stands for a missing one.
[[nodiscard]] bool is_same(const Authority& one, const Authority& other, uint16_t default_port);

/// The four forms of RFC 9112 3.2.
enum class TargetForm : uint8_t { kOrigin, kAbsolute, kAuthority, kAsterisk };

struct Target {
  TargetForm form = TargetForm::kOrigin;
  Authority authority;        // Of the absolute and the authority form.
  uint16_t default_port = 0;  // What a missing port of the absolute form means.
  std::string_view path;      // Still encoded; "/" where the absolute form has none, else empty.
  std::string_view query;     // Still encoded, without its "?".
};

/// Reads a request target of any form. False for anything else, and for fragments. "host:port" is
/// the authority form, which only CONNECT may use.
[[nodiscard]] bool parse_target(std::string_view text, Target* out);

enum class Decoding : uint8_t {
  kDone,
  kBadEscape,  // A percent sign without two hexadecimal digits.
  kZeroByte,   // A zero byte, which some reader behind us would take for the end.
  kTooLong,    // The buffer is full. One as long as the encoded text never is.
};

/// Decodes a part of a path: `%41` is `A`, and `+` stays. `*size` bytes go to `out`; after anything
/// but kDone they mean nothing. The bytes need not be UTF-8.
[[nodiscard]] Decoding percent_decode(std::string_view text,
                                      char* out,
                                      size_t capacity,
                                      size_t* size);

struct Parameter {
  std::string_view name;
  std::string_view value;  // Empty without "=".
};

/// Walks over `name=value&…` (application/x-www-form-urlencoded), of a query or a body.
class ParameterReader {
 public:
  /// Decodes into `buffer`, where all parameters find room if it is as long as the text.
  ParameterReader(std::string_view text, char* buffer, size_t capacity)
      : rest_(text), buffer_(buffer), left_(capacity) {}

  /// The next parameter, in the order of the text; `+` has become a space. Its views last as long
  /// as the buffer. False at the end, and from the first error on: see status().
  [[nodiscard]] bool next(Parameter* out);

  /// kDone unless next() met an error.
  [[nodiscard]] Decoding status() const { return status_; }

 private:
  bool decode(std::string_view text, std::string_view* out);

  std::string_view rest_;
  char* buffer_;
  size_t left_;
  Decoding status_ = Decoding::kDone;
};

}  // namespace megacomet

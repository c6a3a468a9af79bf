// Request targets: their parts, percent-encoding, and the parameters of a query.
// In place over the caller's bytes; decoded text is written to the caller's buffer. Paths are not
// normalised: "/a/../b" is a path like any other. No I/O, no allocation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/ascii.h"

namespace megacomet {

/// The characters of a request target. RFC 3986 allows fewer, but browsers send `|`, `{` and `[`
/// unencoded. By the URL standard they encode the four that are excluded here, and all beyond
/// ASCII.
inline constexpr ascii::CharSet kTargetText = ascii::kVisible.without("\"#<>");

/// The host and port of an http(s) URL or of a Host field.
struct Authority {
  std::string_view host;  // A name, an IPv4 address, or an IPv6 address in brackets.
  uint16_t port = 0;
  bool has_port = false;
};

/// Reads `host[:port]` (RFC 9110 4.2.1, 7.2). False for user names, lists, empty hosts, names of
/// more than kHttpHostBytesMax, and escapes, which host names do not have.
[[nodiscard]] bool parse_authority(std::string_view text, Authority* out);

/// Whether both have the same host and port. `default_port` replaces a missing port.
[[nodiscard]] bool is_same(const Authority& one, const Authority& other, uint16_t default_port);

/// The four forms of RFC 9112 3.2.
enum class TargetForm : uint8_t { kOrigin, kAbsolute, kAuthority, kAsterisk };

struct Target {
  TargetForm form = TargetForm::kOrigin;
  Authority authority;        // Of the absolute and the authority form.
  uint16_t default_port = 0;  // For a missing port of the absolute form.
  std::string_view path;      // Encoded; "/" if the absolute form has none, else empty.
  std::string_view query;     // Encoded, without its "?".
};

/// Reads a request target of any form. False for other texts, and for fragments. "host:port" is the
/// authority form, which only CONNECT may use.
[[nodiscard]] bool parse_target(std::string_view text, Target* out);

enum class Decoding : uint8_t {
  kDone,
  kBadEscape,  // A percent sign without two hexadecimal digits.
  kZeroByte,   // A zero byte, which C code would read as the end of the text.
  kTooLong,    // The buffer is full. A buffer of the encoded length is always large enough.
};

/// Decodes a part of a path: `%41` becomes `A`, and `+` remains. Writes `*size` bytes to `out`,
/// which are valid only after kDone and need not be UTF-8.
[[nodiscard]] Decoding percent_decode(std::string_view text,
                                      char* out,
                                      size_t capacity,
                                      size_t* size);

struct Parameter {
  std::string_view name;     // Decoded.
  std::string_view encoded;  // The value, still encoded; empty without "=".
};

/// Iterates over `name=value&…` (application/x-www-form-urlencoded) of a query or a body. A value
/// is decoded when it is asked for: unused parameters may have any encoding.
class ParameterReader {
 public:
  /// Decodes into `buffer`, which is always large enough if it is as long as the text.
  ParameterReader(std::string_view text, char* buffer, size_t capacity)
      : rest_(text), buffer_(buffer), left_(capacity) {}

  /// The next parameter, in the order of the text. Skips those whose name cannot be decoded. Its
  /// views are valid as long as the buffer. False at the end.
  [[nodiscard]] bool next(Parameter* out);
  /// Whether next() has skipped a parameter.
  [[nodiscard]] bool has_skipped() const { return has_skipped_; }

  /// Decodes a value; `+` becomes a space. `out` is valid as long as the buffer, after kDone only.
  [[nodiscard]] Decoding decode(std::string_view encoded, std::string_view* out);

 private:
  std::string_view rest_;
  char* buffer_;
  size_t left_;
  bool has_skipped_ = false;
};

}  // namespace megacomet

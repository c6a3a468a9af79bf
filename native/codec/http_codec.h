// Parses heads of HTTP/1.1 requests, in place over the caller's bytes.
// As strict as RFC 9112 allows: it rejects every head that two servers could read in two ways, and
// the caller then responds and closes. No I/O, no clock, no allocation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/bounds.h"
#include "codec/url_codec.h"

namespace megacomet {

#define MC_HTTP_METHODS(X) \
  X(kGet, "GET")           \
  X(kHead, "HEAD")         \
  X(kPost, "POST")         \
  X(kOptions, "OPTIONS")   \
  X(kPut, "PUT")           \
  X(kDelete, "DELETE")     \
  X(kPatch, "PATCH")       \
  X(kConnect, "CONNECT")   \
  X(kTrace, "TRACE")

enum class Method : uint8_t {
#define X(identifier, name) identifier,
  MC_HTTP_METHODS(X)
#undef X
};

/// Fields that the server reads, and fields that must not be repeated, in lower case. A repeated
/// kOnce field is rejected: two servers could each use another line. A kList field may span lines.
/// kContentType and kAccessControlRequestMethod are here for that alone.
#define MC_HTTP_FIELDS(X)                                                  \
  X(kAccessControlRequestHeaders, "access-control-request-headers", kList) \
  X(kAccessControlRequestMethod, "access-control-request-method", kOnce)   \
  X(kAuthorization, "authorization", kOnce)                                \
  X(kConnection, "connection", kList)                                      \
  X(kContentLength, "content-length", kOnce)                               \
  X(kContentType, "content-type", kOnce)                                   \
  X(kCookie, "cookie", kList)                                              \
  X(kExpect, "expect", kOnce)                                              \
  X(kForwarded, "forwarded", kList)                                        \
  X(kHost, "host", kOnce)                                                  \
  X(kLastEventId, "last-event-id", kOnce)                                  \
  X(kOrigin, "origin", kOnce)                                              \
  X(kReferer, "referer", kList)                                            \
  X(kSecFetchSite, "sec-fetch-site", kList)                                \
  X(kSecWebsocketExtensions, "sec-websocket-extensions", kList)            \
  X(kSecWebsocketProtocol, "sec-websocket-protocol", kList)                \
  X(kSecWebsocketKey, "sec-websocket-key", kOnce)                          \
  X(kSecWebsocketVersion, "sec-websocket-version", kOnce)                  \
  X(kTransferEncoding, "transfer-encoding", kOnce)                         \
  X(kUpgrade, "upgrade", kList)                                            \
  X(kUserAgent, "user-agent", kList)                                       \
  X(kXForwardedFor, "x-forwarded-for", kList)

enum class Field : uint8_t {
#define X(identifier, name, repeats) identifier,
  MC_HTTP_FIELDS(X) kOther
#undef X
};
constexpr size_t kFieldsKnown = static_cast<size_t>(Field::kOther);

/// The field with this name, in any case; kOther for a name that is not in MC_HTTP_FIELDS.
[[nodiscard]] Field field_named(std::string_view name);

/// One field line of a head. The value has no blanks at its ends.
class FieldLine {
 public:
  /// Leaves the members uninitialised: to clear all lines of a head, 2.5 kB, costs a handshake
  /// 50 ns.
  FieldLine() = default;
  FieldLine(std::string_view name, std::string_view value, Field field)
      : name_(name.data()),
        value_(value.data()),
        name_bytes_(static_cast<uint16_t>(name.size())),
        value_bytes_(static_cast<uint16_t>(value.size())),
        field_(field) {}

  [[nodiscard]] std::string_view name() const { return {name_, name_bytes_}; }
  [[nodiscard]] std::string_view value() const { return {value_, value_bytes_}; }
  [[nodiscard]] Field field() const { return field_; }

 private:
  static_assert(bounds::kHttpHeadBytesMax <= UINT16_MAX);

  const char* name_;
  const char* value_;
  uint16_t name_bytes_;
  uint16_t value_bytes_;
  Field field_;
};

/// How the length of a request's body is given (RFC 9112 6.3).
enum class BodyFraming : uint8_t { kNone, kLength, kChunked };

/// A request without its body. Its views point into the bytes that were parsed.
struct HttpHead {
  Method method = Method::kGet;
  uint8_t minor_version = 1;  // HTTP/1.0 or HTTP/1.1.
  BodyFraming framing = BodyFraming::kNone;
  uint8_t lines_count = 0;
  uint64_t content_length = 0;  // At most 2^63 - 1; 0 unless framing is kLength.
  std::string_view method_text;
  std::string_view target_text;
  Target target;
  Authority host;  // The Host field; empty if an HTTP/1.0 request has none.
  // The first line of each field, counted from one; 0 for a missing field.
  uint8_t first_lines[kFieldsKnown + 1] = {};
  /// Only the first `lines_count` are set.
  FieldLine lines[bounds::kHttpFieldsMax];

  [[nodiscard]] bool has(Field field) const { return first_line(field) != 0; }

  /// The value of a field's first line; empty if the field is missing.
  [[nodiscard]] std::string_view value(Field field) const {
    return has(field) ? lines[first_line(field) - 1].value() : std::string_view();
  }

  /// Whether a comma list, over all its lines, contains `member`, in any case.
  [[nodiscard]] bool lists(Field field, std::string_view member) const;

 private:
  [[nodiscard]] uint8_t first_line(Field field) const {
    return first_lines[static_cast<size_t>(field)];
  }
};

/// Removes the next member from a comma list and skips empty members (RFC 9110 5.6.1). False at the
/// end. Not for lists whose members quote commas.
[[nodiscard]] bool next_member(std::string_view* list, std::string_view* member);

/// Whether the connection persists after this request (RFC 9112 9.3).
[[nodiscard]] bool keeps_alive(const HttpHead& head);

/// Where the scan of a head stopped. The next call resumes there, so each byte is scanned once,
/// however the head was split. All zero at the start of a head.
struct HeadProgress {
  uint16_t scanned = 0;
  uint16_t length = 0;  // Bytes of the current method, target or version.
  uint8_t lines = 0;
  uint8_t state = 0;
};

/// The limits of one head, at most those of bounds.h.
struct HeadLimits {
  size_t bytes_max = bounds::kHttpHeadBytesMax;
  size_t fields_max = bounds::kHttpFieldsMax;
};

enum class HeadStatus : uint8_t { kComplete, kIncomplete, kBad };

struct HeadResult {
  HeadStatus status = HeadStatus::kIncomplete;
  uint16_t answer = 0;      // If bad: the status to respond with, before closing.
  size_t consumed = 0;      // If complete: bytes of the head, with its empty line.
  const char* reason = "";  // If bad: the cause, for people.
  uint32_t limit = 0;       // If a limit was exceeded: its value.
};

/// Parses the head of a request. `bytes` holds everything received after the last request: each
/// call passes the bytes of the call before and more, perhaps at another address. The caller keeps
/// `progress` between the calls. `out` is a request only if the result is complete. One empty line
/// before the request is skipped (RFC 9112 2.2). The result does not depend on how the bytes were
/// split.
[[nodiscard]] HeadResult parse_head(std::string_view bytes,
                                    HeadProgress* progress,
                                    HttpHead* out,
                                    const HeadLimits& limits = {});

/// The value of a field in a head that is bad or incomplete, as far as it arrived; empty if the
/// field is missing or repeated. For responses that need a field of a request that cannot be
/// parsed.
[[nodiscard]] std::string_view find_value(std::string_view bytes, Field field);

}  // namespace megacomet

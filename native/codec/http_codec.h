// Heads of HTTP/1.1 requests.
// As strict as RFC 9112 allows: what two readers could understand in two ways is refused, and the
// caller answers and closes. In place over the caller's bytes. No I/O, no clock, no allocation.
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

/// The fields that anything here acts upon, in lower case. A kOnce field is refused when it stands
/// twice: two readers would choose differently. A kList field may go on in a further line.
#define MC_HTTP_FIELDS(X)                                                  \
  X(kAccept, "accept", kList)                                              \
  X(kAccessControlRequestHeaders, "access-control-request-headers", kList) \
  X(kAccessControlRequestMethod, "access-control-request-method", kOnce)   \
  X(kAuthorization, "authorization", kOnce)                                \
  X(kConnection, "connection", kList)                                      \
  X(kContentEncoding, "content-encoding", kList)                           \
  X(kContentLength, "content-length", kOnce)                               \
  X(kContentType, "content-type", kOnce)                                   \
  X(kCookie, "cookie", kList)                                              \
  X(kExpect, "expect", kOnce)                                              \
  X(kForwarded, "forwarded", kList)                                        \
  X(kHost, "host", kOnce)                                                  \
  X(kLastEventId, "last-event-id", kOnce)                                  \
  X(kOrigin, "origin", kOnce)                                              \
  X(kSecWebsocketExtensions, "sec-websocket-extensions", kList)            \
  X(kSecWebsocketKey, "sec-websocket-key", kOnce)                          \
  X(kSecWebsocketProtocol, "sec-websocket-protocol", kList)                \
  X(kSecWebsocketVersion, "sec-websocket-version", kOnce)                  \
  X(kTrailer, "trailer", kList)                                            \
  X(kTransferEncoding, "transfer-encoding", kOnce)                         \
  X(kUpgrade, "upgrade", kList)                                            \
  X(kXForwardedFor, "x-forwarded-for", kList)

enum class Field : uint8_t {
#define X(identifier, name, repeats) identifier,
  MC_HTTP_FIELDS(X) kOther
#undef X
};
constexpr size_t kFieldsKnown = static_cast<size_t>(Field::kOther);

/// The field of a name in any case; kOther for one that nothing acts upon.
[[nodiscard]] Field field_named(std::string_view name);

/// One line of a head. The value has no blanks at its ends.
class FieldLine {
 public:
  /// Without any, so that a head does not begin with clearing the lines it will not have: 2.5 kB,
  /// 50 ns of a handshake.
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

/// How the end of a request's body is known (RFC 9112 6.3).
enum class BodyFraming : uint8_t { kNone, kLength, kChunked };

/// A request without its body. Its views lie in the bytes that it was read from.
struct HttpHead {
  Method method = Method::kGet;
  uint8_t minor_version = 1;  // HTTP/1.0 or HTTP/1.1.
  BodyFraming framing = BodyFraming::kNone;
  bool expects_continue = false;  // The body comes after "100 Continue".
  uint8_t lines_count = 0;
  uint64_t content_length = 0;  // At most 2^63 - 1; 0 unless framing is kLength.
  std::string_view method_text;
  std::string_view target_text;
  Target target;
  Authority host;  // The Host field; in HTTP/1.0 it may be missing, and the host is then empty.
  // The line where each field stands first, counted from one; 0 where it is missing.
  uint8_t first_lines[kFieldsKnown + 1] = {};
  /// The first `lines_count` of these.
  FieldLine lines[bounds::kHttpFieldsMax];

  [[nodiscard]] bool has(Field field) const { return first_line(field) != 0; }

  /// The value of a field, of its first line if it has several; empty where it is missing.
  [[nodiscard]] std::string_view value(Field field) const {
    return has(field) ? lines[first_line(field) - 1].value() : std::string_view();
  }

  /// Whether a comma list, over all its lines, has a member, in any case.
  [[nodiscard]] bool lists(Field field, std::string_view member) const;

 private:
  [[nodiscard]] uint8_t first_line(Field field) const {
    return first_lines[static_cast<size_t>(field)];
  }
};

/// Takes the next member off a comma list; empty ones are passed over (RFC 9110 5.6.1). False at
/// the end. Not for lists whose members quote commas.
[[nodiscard]] bool next_member(std::string_view* list, std::string_view* member);

/// Whether the client wants the connection kept after this request (RFC 9112 9.3).
[[nodiscard]] bool keeps_alive(const HttpHead& head);

/// How far the bytes of a head were read, so that the next call goes on from there: whatever the
/// parts that they come in, each is looked at once. All zero when a head begins.
struct HeadProgress {
  uint16_t scanned = 0;
  uint16_t length = 0;  // Of the method, target or version at hand.
  uint8_t lines = 0;
  uint8_t place = 0;
};

enum class HeadStatus : uint8_t { kComplete, kIncomplete, kBad };

struct HeadResult {
  HeadStatus status = HeadStatus::kIncomplete;
  uint16_t answer = 0;      // When bad: the status to answer with, before closing.
  size_t consumed = 0;      // When complete: bytes of the head with its empty line.
  const char* reason = "";  // When bad: what was wrong, for people.
};

/// Reads the head of a request. `bytes` is all that came since the last request ended, so each call
/// has those of the call before and more; they may have moved. `progress` is the caller's to keep
/// between the calls. `out` holds a request only if the result is complete. One empty line in front
/// is passed over (RFC 9112 2.2). The result does not depend on how the bytes were split.
[[nodiscard]] HeadResult parse_head(std::string_view bytes, HeadProgress* progress, HttpHead* out);

}  // namespace megacomet

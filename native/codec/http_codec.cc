// The parser of request heads. See http_codec.h.
#include "codec/http_codec.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/ascii.h"
#include "base/check.h"

namespace megacomet {

namespace {

constexpr std::string_view kLineBreak = "\r\n";

// ---- Fields

enum class Repeats : uint8_t { kOnce, kList };

struct KnownField {
  std::string_view name;
  Repeats repeats;
};

constexpr KnownField kKnownFields[] = {
#define X(identifier, name, repeats) {name, Repeats::repeats},
    MC_HTTP_FIELDS(X)
#undef X
};

constexpr size_t longest_name() {
  size_t most = 0;
  for (const KnownField& each : kKnownFields) most = std::max(most, each.name.size());
  return most;
}

constexpr size_t kFieldNameBytesMax = longest_name();

/// For each length of a name, a bit for each known field of that length: most lines are compared
/// with one name or none.
constexpr std::array<uint32_t, kFieldNameBytesMax + 1> fields_of_size() {
  static_assert(kFieldsKnown <= 32);
  std::array<uint32_t, kFieldNameBytesMax + 1> sets{};
  for (size_t at = 0; at < kFieldsKnown; ++at) sets[kKnownFields[at].name.size()] |= 1U << at;
  return sets;
}

constexpr std::array<uint32_t, kFieldNameBytesMax + 1> kFieldsOfSize = fields_of_size();

struct KnownMethod {
  std::string_view name;
  Method method;
};

constexpr KnownMethod kKnownMethods[] = {
#define X(identifier, name) {name, Method::identifier},
    MC_HTTP_METHODS(X)
#undef X
};

// ---- The scan: each byte once, by the grammar of RFC 9112 alone

enum class ScanState : uint8_t {
  kFront,
  kMethod,
  kTarget,
  kVersion,
  kName,
  kValue,
  kLineStart,
  kFrontEnd,
  kLineEnd,
  kHeadEnd,
};

/// A part of a head: bytes of one set, up to one terminator.
struct Part {
  size_t bytes_min;
  size_t bytes_max;
  const char* reason;
  const char* reason_too_long;
  uint16_t answer_too_long;
  char end;
  ScanState next;
  ascii::CharSet set;
};

constexpr size_t kVersionBytes = 8;
constexpr ascii::CharSet kVersionText = ascii::kAlphanumeric.with("/.");

/// The parts of the states from kMethod to kValue.
constexpr Part kParts[] = {
    // RFC 9112 3: the response to a method longer than any known one is 501.
    {1,
     bounds::kHttpMethodBytesMax,
     "malformed method",
     "method too long, in bytes",
     501,
     ' ',
     ScanState::kTarget,
     ascii::kToken},
    {1,
     bounds::kHttpTargetBytesMax,
     "malformed target",
     "target too long, in bytes",
     414,
     ' ',
     ScanState::kVersion,
     kTargetText},
    {1,
     kVersionBytes,
     "malformed version",
     "malformed version",
     400,
     '\r',
     ScanState::kLineEnd,
     kVersionText},
    {1, SIZE_MAX, "malformed field name", "", 0, ':', ScanState::kValue, ascii::kToken},
    {0, SIZE_MAX, "control byte in a field", "", 0, '\r', ScanState::kLineEnd, ascii::kFieldText},
};

const Part& part_of(ScanState state) {
  return kParts[static_cast<size_t>(state) - static_cast<size_t>(ScanState::kMethod)];
}

HeadResult reject(uint16_t answer, const char* reason, size_t limit = 0) {
  return {HeadStatus::kBad, answer, 0, reason, static_cast<uint32_t>(limit)};
}

/// Scans the bytes of one head as they arrive, and reads the fields once the head is complete.
class HeadReader {
 public:
  HeadReader(std::string_view bytes,
             HeadProgress* progress,
             HttpHead* out,
             const HeadLimits& limits)
      : bytes_(bytes.substr(0, limits.bytes_max)),
        progress_(progress),
        out_(out),
        limits_(limits) {}

  HeadResult read();

 private:
  HeadResult scan(std::string_view rest);
  HeadResult scan_part(const Part& part, std::string_view rest);
  HeadResult scan_line_start(char byte);
  HeadResult enter(ScanState state, size_t bytes);

  [[nodiscard]] HeadResult read_request_line(std::string_view line);
  [[nodiscard]] HeadResult read_lines(std::string_view lines);
  [[nodiscard]] bool read_line(std::string_view text);
  [[nodiscard]] HeadResult read_framing();
  [[nodiscard]] HeadResult read_host();
  [[nodiscard]] HeadResult check_expectation();
  [[nodiscard]] HeadResult finish();

  /// Bytes of the empty line that may precede a request (RFC 9112 2.2).
  [[nodiscard]] size_t front() const { return bytes_[0] == '\r' ? kLineBreak.size() : 0; }

  std::string_view bytes_;
  HeadProgress* progress_;
  HttpHead* out_;
  const HeadLimits& limits_;
  bool has_request_line_ = false;
};

HeadResult HeadReader::read() {
  MC_CHECK(progress_->scanned <= bytes_.size());
  while (progress_->scanned < bytes_.size()) {
    const HeadResult result = scan(bytes_.substr(progress_->scanned));
    if (result.status != HeadStatus::kIncomplete) return result;
  }
  if (progress_->scanned < limits_.bytes_max) return {};
  return reject(431, "head too long, in bytes", limits_.bytes_max);
}

HeadResult HeadReader::enter(ScanState state, size_t bytes) {
  progress_->scanned = static_cast<uint16_t>(progress_->scanned + bytes);
  progress_->length = 0;
  progress_->state = static_cast<uint8_t>(state);
  return {};
}

HeadResult HeadReader::scan(std::string_view rest) {
  const auto state = static_cast<ScanState>(progress_->state);
  const char byte = rest[0];
  switch (state) {
    case ScanState::kFront:
      return byte == '\r' ? enter(ScanState::kFrontEnd, 1) : enter(ScanState::kMethod, 0);
    case ScanState::kLineStart:
      return scan_line_start(byte);
    case ScanState::kFrontEnd:
      return byte == '\n' ? enter(ScanState::kMethod, 1) : reject(400, "bare CR");
    case ScanState::kLineEnd:
      return byte == '\n' ? enter(ScanState::kLineStart, 1) : reject(400, "bare CR");
    case ScanState::kHeadEnd:
      return byte == '\n' ? finish() : reject(400, "bare CR");
    default:
      return scan_part(part_of(state), rest);
  }
}

HeadResult HeadReader::scan_part(const Part& part, std::string_view rest) {
  const size_t run = part.set.span(rest);
  // Fits in 16 bits, because a head has at most kHttpHeadBytesMax bytes.
  const size_t length = progress_->length + run;
  if (length > part.bytes_max) {
    return reject(part.answer_too_long, part.reason_too_long, part.bytes_max);
  }
  if (run == rest.size()) {
    progress_->length = static_cast<uint16_t>(length);
    progress_->scanned = static_cast<uint16_t>(progress_->scanned + run);
    return {};
  }
  if (rest[run] != part.end || length < part.bytes_min) {
    const bool is_target = static_cast<ScanState>(progress_->state) == ScanState::kTarget;
    const bool is_raw = is_target && static_cast<uint8_t>(rest[run]) >= 0x80;
    return reject(400, is_raw ? "target: bytes beyond ASCII must be percent-encoded" : part.reason);
  }
  if (static_cast<ScanState>(progress_->state) == ScanState::kVersion) {
    const size_t end = progress_->scanned + run;
    // Checked before the head is complete: a client of another protocol may never send an empty
    // line.
    const HeadResult result = read_request_line(bytes_.substr(front(), end - front()));
    if (result.status == HeadStatus::kBad) return result;
    has_request_line_ = true;
  }
  return enter(part.next, run + 1);
}

HeadResult HeadReader::scan_line_start(char byte) {
  if (byte == '\r') return enter(ScanState::kHeadEnd, 1);
  if (byte == ' ' || byte == '\t') return reject(400, "folded line");
  if (progress_->lines == limits_.fields_max) {
    return reject(431, "too many fields", limits_.fields_max);
  }
  ++progress_->lines;
  return enter(ScanState::kName, 0);
}

// ---- The meaning of a head

HeadResult HeadReader::read_request_line(std::string_view line) {
  if (line == "PRI * HTTP/2.0") return reject(400, "HTTP/2 without an upgrade");
  const std::string_view version = line.substr(line.rfind(' ') + 1);
  if (version.size() != kVersionBytes || version.substr(0, 5) != "HTTP/" ||
      !ascii::kDigits.has(version[5]) || version[6] != '.' || !ascii::kDigits.has(version[7])) {
    return reject(400, "malformed version");
  }
  if (version[5] != '1') return reject(505, "unknown version");
  // RFC 9110 2.5: a higher minor version is read as the highest one that we know.
  out_->minor_version = version[7] == '0' ? 0 : 1;

  const size_t method_end = line.find(' ');
  const size_t version_at = line.size() - kVersionBytes;
  out_->method_text = line.substr(0, method_end);
  out_->target_text = line.substr(method_end + 1, version_at - method_end - 2);
  const KnownMethod* known = nullptr;
  for (const KnownMethod& each : kKnownMethods) {
    if (each.name == out_->method_text) known = &each;
  }
  if (known == nullptr) return reject(501, "unknown method");
  out_->method = known->method;

  if (!parse_target(out_->target_text, &out_->target)) return reject(400, "malformed target");
  const TargetForm form = out_->target.form;
  const bool is_connect = out_->method == Method::kConnect;
  const bool is_options = out_->method == Method::kOptions;
  const bool fits = (form == TargetForm::kAuthority) == is_connect &&
                    (form != TargetForm::kAsterisk || is_options);
  return fits ? HeadResult{} : reject(400, "target form not allowed for this method");
}

bool HeadReader::read_line(std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  const Field known = field_named(name);
  const bool is_framing = known == Field::kContentLength || known == Field::kTransferEncoding;
  // Blanks are allowed around any value. But servers have disagreed about a tab before the value of
  // a framing field, and so about the end of the request; no client sends one.
  const std::string_view value =
      ascii::trim(text.substr(colon + 1), is_framing ? ascii::kSpace : ascii::kBlanks);
  out_->lines[out_->lines_count++] = FieldLine(name, value, known);
  if (known == Field::kOther) return true;
  const auto field = static_cast<size_t>(known);
  uint8_t* first = &out_->first_lines[field];
  if (*first != 0) return kKnownFields[field].repeats == Repeats::kList;
  *first = out_->lines_count;
  return true;
}

HeadResult HeadReader::read_lines(std::string_view lines) {
  out_->lines_count = 0;
  std::memset(out_->first_lines, 0, sizeof out_->first_lines);
  while (!lines.empty()) {
    // The scan accepts a carriage return only at the end of a line.
    const size_t end = lines.find('\r');
    if (!read_line(lines.substr(0, end))) return reject(400, "repeated field");
    lines.remove_prefix(end + kLineBreak.size());
  }
  return {};
}

HeadResult HeadReader::read_framing() {
  out_->framing = BodyFraming::kNone;
  out_->content_length = 0;
  const bool has_length = out_->has(Field::kContentLength);
  if (out_->has(Field::kTransferEncoding)) {
    // RFC 9112 6.1 and 6.3: each of these can smuggle a request past a proxy.
    if (has_length) return reject(400, "both Content-Length and Transfer-Encoding");
    if (out_->minor_version == 0) return reject(400, "Transfer-Encoding in HTTP/1.0");
    if (!ascii::equals(out_->value(Field::kTransferEncoding), "chunked")) {
      return reject(400, "Transfer-Encoding other than chunked");
    }
    out_->framing = BodyFraming::kChunked;
  } else if (has_length) {
    uint64_t length = 0;
    const bool is_number = ascii::parse_unsigned(out_->value(Field::kContentLength), &length);
    if (!is_number || length > INT64_MAX) return reject(400, "malformed Content-Length");
    out_->content_length = length;
    if (length > 0) out_->framing = BodyFraming::kLength;
  }
  return {};
}

HeadResult HeadReader::read_host() {
  out_->host = {};
  const bool is_absolute = out_->target.form == TargetForm::kAbsolute;
  if (!out_->has(Field::kHost)) {
    if (out_->minor_version > 0) return reject(400, "missing Host");
    if (is_absolute) out_->host = out_->target.authority;
    return {};
  }
  if (!parse_authority(out_->value(Field::kHost), &out_->host))
    return reject(400, "malformed Host");
  // RFC 9112 3.2.2: the target replaces the field.
  if (is_absolute) out_->host = out_->target.authority;
  return {};
}

HeadResult HeadReader::check_expectation() {
  if (!out_->has(Field::kExpect)) return {};
  const bool is_known = ascii::equals(out_->value(Field::kExpect), "100-continue");
  return is_known ? HeadResult{} : reject(417, "unknown expectation");
}

HeadResult HeadReader::finish() {
  // Includes the current line feed; the last two bytes are the empty line.
  const size_t consumed = size_t{progress_->scanned} + 1;
  std::string_view head = bytes_.substr(front(), consumed - front() - kLineBreak.size());
  const size_t line_end = head.find(kLineBreak);
  HeadResult result;
  // An earlier call may have read it at another address, so its views are stale.
  if (!has_request_line_) result = read_request_line(head.substr(0, line_end));
  if (result.status == HeadStatus::kBad) return result;
  result = read_lines(head.substr(line_end + kLineBreak.size()));
  if (result.status == HeadStatus::kBad) return result;
  result = read_framing();
  if (result.status == HeadStatus::kBad) return result;
  result = read_host();
  if (result.status == HeadStatus::kBad) return result;
  result = check_expectation();
  if (result.status == HeadStatus::kBad) return result;
  return {HeadStatus::kComplete, 0, consumed, ""};
}

}  // namespace

Field field_named(std::string_view name) {
  if (name.size() > kFieldNameBytesMax) return Field::kOther;
  for (uint32_t left = kFieldsOfSize[name.size()]; left != 0; left &= left - 1) {
    const auto at = static_cast<size_t>(__builtin_ctz(left));
    if (ascii::equals(kKnownFields[at].name, name)) return static_cast<Field>(at);
  }
  return Field::kOther;
}

bool next_member(std::string_view* list, std::string_view* member) {
  while (!list->empty()) {
    const size_t comma = list->find(',');
    *member = ascii::trim(list->substr(0, comma), ascii::kBlanks);
    list->remove_prefix(comma == std::string_view::npos ? list->size() : comma + 1);
    if (!member->empty()) return true;
  }
  return false;
}

bool HttpHead::lists(Field field, std::string_view member) const {
  for (size_t at = 0; at < lines_count; ++at) {
    if (lines[at].field() != field) continue;
    std::string_view list = lines[at].value();
    std::string_view found;
    while (next_member(&list, &found)) {
      if (ascii::equals(found, member)) return true;
    }
  }
  return false;
}

bool keeps_alive(const HttpHead& head) {
  if (head.lists(Field::kConnection, "close")) return false;
  return head.minor_version > 0 || head.lists(Field::kConnection, "keep-alive");
}

std::string_view find_value(std::string_view bytes, Field field) {
  std::string_view found;
  bool is_found = false;
  for (bool is_request_line = true;; is_request_line = false) {
    const size_t end = bytes.find('\n');
    if (end == std::string_view::npos) return found;
    const std::string_view line =
        bytes.substr(0, end > 0 && bytes[end - 1] == '\r' ? end - 1 : end);
    bytes.remove_prefix(end + 1);
    if (line.empty() && !is_request_line) return found;
    const size_t colon = line.find(':');
    if (is_request_line || colon == std::string_view::npos) continue;
    if (field_named(line.substr(0, colon)) != field) continue;
    if (is_found) return {};
    is_found = true;
    const std::string_view value = ascii::trim(line.substr(colon + 1), ascii::kBlanks);
    if (ascii::kFieldText.has_all(value)) found = value;
  }
}

HeadResult parse_head(std::string_view bytes,
                      HeadProgress* progress,
                      HttpHead* out,
                      const HeadLimits& limits) {
  return HeadReader(bytes, progress, out, limits).read();
}

}  // namespace megacomet

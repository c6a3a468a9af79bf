// Fuzz target for HTTP: request heads, at once and in parts as the input says, and the response
// writer. An accepted request must be the same after it is written out and parsed again.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/ascii.h"
#include "base/bounds.h"
#include "base/check.h"
#include "codec/http_codec.h"
#include "codec/http_writer.h"

using namespace megacomet;

namespace {

bool is_same(const HeadResult& one, const HeadResult& other) {
  return one.status == other.status && one.answer == other.answer &&
         one.consumed == other.consumed && std::string_view(one.reason) == other.reason;
}

/// Parses the bytes so far from a copy of exact size, so that the sanitizer detects a read past its
/// end. The head's views point into the copy in `memory`.
HeadResult parse(std::string_view bytes,
                 HeadProgress* progress,
                 HttpHead* head,
                 std::vector<char>* memory) {
  memory->assign(bytes.begin(), bytes.end());
  memory->shrink_to_fit();
  const HeadResult result = parse_head({memory->data(), memory->size()}, progress, head);
  MC_CHECK(result.consumed <= bytes.size());
  MC_CHECK(progress->scanned <= bytes.size());
  return result;
}

HeadResult parse_in_parts(std::string_view bytes, size_t part, HttpHead* head) {
  HeadProgress progress;
  HeadResult result;
  std::vector<char> memory;
  for (size_t size = 0; size < bytes.size() && result.status == HeadStatus::kIncomplete;) {
    size = bytes.size() - size < part ? bytes.size() : size + part;
    result = parse(bytes.substr(0, size), &progress, head, &memory);
  }
  return result;
}

/// No byte of an accepted head can end a line or a text for another parser.
void check_lines(std::string_view head) {
  for (size_t at = 0; at < head.size(); ++at) {
    const char byte = head[at];
    const char before = at == 0 ? '\0' : head[at - 1];
    const char behind = at + 1 == head.size() ? '\0' : head[at + 1];
    MC_CHECK(byte != '\0' && byte != '\x7f');
    MC_CHECK(byte != '\n' || before == '\r');
    MC_CHECK(byte != '\r' || behind == '\n');
  }
}

/// The guarantees for every caller.
void check_head(const HttpHead& head) {
  const bool has_length = head.has(Field::kContentLength);
  const bool has_coding = head.has(Field::kTransferEncoding);
  MC_CHECK(!has_length || !has_coding);
  MC_CHECK((head.framing == BodyFraming::kChunked) == has_coding);
  MC_CHECK((head.framing == BodyFraming::kLength) == (head.content_length > 0));
  MC_CHECK(head.content_length <= INT64_MAX);
  MC_CHECK(!has_coding || head.minor_version == 1);
  MC_CHECK(head.minor_version == 0 || !head.host.host.empty());
  MC_CHECK(head.target_text.size() <= bounds::kHttpTargetBytesMax);
  size_t hosts = 0;
  for (size_t at = 0; at < head.lines_count; ++at) {
    const FieldLine& line = head.lines[at];
    MC_CHECK(ascii::is_token(line.name()));
    MC_CHECK(line.field() == field_named(line.name()));
    MC_CHECK(line.field() == Field::kOther || head.has(line.field()));
    hosts += line.field() == Field::kHost ? 1 : 0;
  }
  MC_CHECK(hosts <= 1);
  (void)keeps_alive(head);
}

/// An accepted request is the same after it is written out and parsed again.
void check_round_trip(const HttpHead& head) {
  std::string text(head.method_text);
  text += " " + std::string(head.target_text) + " HTTP/1." + std::to_string(head.minor_version);
  for (size_t at = 0; at < head.lines_count; ++at) {
    text +=
        "\r\n" + std::string(head.lines[at].name()) + ": " + std::string(head.lines[at].value());
  }
  text += "\r\n\r\n";
  // Adds a blank after each colon, so the text can exceed the limit.
  if (text.size() > bounds::kHttpHeadBytesMax) return;
  HeadProgress progress;
  HttpHead again;
  std::vector<char> memory;
  const HeadResult result = parse(text, &progress, &again, &memory);
  MC_CHECK(result.status == HeadStatus::kComplete && result.consumed == text.size());
  MC_CHECK(again.method == head.method && again.target_text == head.target_text);
  MC_CHECK(again.framing == head.framing && again.content_length == head.content_length);
  MC_CHECK(again.host.host == head.host.host && again.host.port == head.host.port);
  MC_CHECK(keeps_alive(again) == keeps_alive(head));
  MC_CHECK(again.lines_count == head.lines_count);
  for (size_t at = 0; at < head.lines_count; ++at) {
    MC_CHECK(again.lines[at].name() == head.lines[at].name());
    MC_CHECK(again.lines[at].value() == head.lines[at].value());
  }
}

/// A written head has exactly one field, for any name and value.
void check_writer(std::string_view bytes, size_t part) {
  char buffer[256];
  HttpWriter writer(buffer, part);
  writer.status(200);
  writer.field(bytes.substr(0, part % 16), bytes.substr(bytes.size() < 16 ? bytes.size() : 16));
  writer.finish();
  const std::string_view text = writer.written();
  MC_CHECK(text.size() <= part && text.empty() == !writer.is_ok());
  check_lines(text);
  size_t breaks = 0;
  for (const char byte : text) breaks += byte == '\n' ? 1 : 0;
  MC_CHECK(text.empty() || breaks == 3);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t part = 1 + size_t{data[0]};
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  HeadProgress progress;
  HttpHead head;
  std::vector<char> memory;
  const HeadResult whole = parse(bytes, &progress, &head, &memory);
  HttpHead scratch;
  MC_CHECK(is_same(whole, parse_in_parts(bytes, part, &scratch)));
  // Byte by byte only for short inputs, because each part is a copy of all previous bytes.
  if (bytes.size() < 300) MC_CHECK(is_same(whole, parse_in_parts(bytes, 1, &scratch)));
  if (whole.status == HeadStatus::kComplete) {
    check_lines(bytes.substr(0, whole.consumed));
    check_head(head);
    check_round_trip(head);
  }
  check_writer(bytes, part - 1);
  return 0;
}

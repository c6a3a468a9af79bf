// Tests of the SSE writer: exact bytes, and round trips through a reader by the standard.
#include "codec/sse_codec.h"

#include <string>

#include "support/sse_reader.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

SseEvent with_data(std::string_view data) {
  SseEvent event;
  event.data = data;
  return event;
}

std::string text_of(const SseEvent& event) {
  std::string text;
  EXPECT(append_sse_event(event, &text));
  return text;
}

/// The data as a reader receives it.
std::string round_trip(std::string_view data) {
  sse::Reader reader;
  reader.read(text_of(with_data(data)));
  if (!EXPECT_EQUAL(reader.events.size(), 1U)) return "(no event)";
  EXPECT(reader.events[0].type == "message");
  return reader.events[0].data;
}

}  // namespace

TEST("an event has its lines in order and a blank line at its end") {
  SseEvent event = with_data("one\ntwo");
  event.id = "0123456789abcdef.42";
  event.event = "news";
  event.retry_ms = 1500;
  EXPECT(text_of(event) ==
         "id: 0123456789abcdef.42\nevent: news\nretry: 1500\ndata: one\ndata: two\n\n");
  EXPECT(text_of(with_data("x")) == "data: x\n\n");
  EXPECT(text_of(with_data("")) == "data: \n\n");
  EXPECT(text_of(with_data("\r\n")) == "data: \ndata: \n\n");
  std::string retry;
  append_sse_retry(UINT32_MAX, &retry);
  EXPECT(retry == "retry: 4294967295\n");
  EXPECT(text_of({}) == "\n");
}

TEST("a reader receives the data unchanged, with LF for every line end") {
  for (const char* data : {"",
                           "a",
                           " a",
                           "  a ",
                           ":a",
                           "a: b",
                           "data: a",
                           "\n",
                           "\n\n",
                           "a\n",
                           "\na",
                           "a\n\nb",
                           "\r",
                           "a\rb",
                           "a\r\nb",
                           "a\n\rb",
                           "a\r\r\nb\n",
                           "\xef\xbb\xbf",
                           "\xef\xbb\xbfx\n\xef\xbb\xbf",
                           "a\xe2\x80\xa8"
                           "b\xe2\x80\xa9\xc2\x85",
                           "\xf0\x9f\x98\x80",
                           "\x0b\x0c\t"}) {
    if (!EXPECT(round_trip(data) == sse::with_line_feeds(data))) {
      unit::fail(__FILE__, __LINE__, data);
    }
  }
  const std::string with_zeros("\0a\0\n\0", 5);
  EXPECT(round_trip(with_zeros) == with_zeros);
}

TEST("a reader receives a stream of random events unchanged") {
  const std::string alphabet("\r\n: a\0\xef\xbb\xbf", 9);
  for (int round = 0; round < 2000; ++round) {
    std::string stream;
    std::string data[3];
    for (std::string& text : data) {
      text.resize(unit::upto(10));
      for (char& character : text) character = alphabet[unit::upto(alphabet.size() - 1)];
      EXPECT(append_sse_event(with_data(text), &stream));
      append_sse_heartbeat(&stream);
    }
    sse::Reader reader;
    reader.read(stream);
    if (!EXPECT_EQUAL(reader.events.size(), 3U)) return;
    for (size_t at = 0; at < 3; ++at) {
      if (!EXPECT(reader.events[at].data == sse::with_line_feeds(data[at]))) return;
    }
  }
}

TEST("an id or a name with a line end or NUL is rejected, and nothing is written") {
  for (const std::string& bad : {std::string("a\r"),
                                 std::string("\n"),
                                 std::string("a\r\nb"),
                                 std::string("a\0b", 3),
                                 std::string("\0", 1)}) {
    std::string text = "before";
    SseEvent event = with_data("x");
    event.id = bad;
    EXPECT(!append_sse_event(event, &text));
    event.id = "";
    event.event = bad;
    EXPECT(!append_sse_event(event, &text));
    EXPECT(text == "before");
  }
}

TEST("a reader stores an id without data, and dispatches no event") {
  SseEvent event;
  event.id = " a: b ";
  event.retry_ms = 10;
  sse::Reader reader;
  reader.read(text_of(event));
  EXPECT(reader.events.empty());
  EXPECT(reader.last_id == " a: b ");
  EXPECT(reader.retry == "10");
}

TEST("a reader drops a heartbeat, also within a stream") {
  std::string stream;
  append_sse_heartbeat(&stream);
  EXPECT(stream == ":\n");
  EXPECT(append_sse_event(with_data("a"), &stream));
  append_sse_heartbeat(&stream);
  sse::Reader reader;
  reader.read(stream);
  EXPECT_EQUAL(reader.events.size(), 1U);
}

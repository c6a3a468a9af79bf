// Tests of the reader of subscribers: each transport, in any split of its bytes.
#include "dialer/comet_reader.h"

#include <string>
#include <string_view>
#include <vector>

#include "support/unit.h"

using namespace megacomet;

namespace {

/// The events, a letter each: (h)ead, (p)osition, (m)essage, (g)ap, (a)nswer, p(i)ng, (c)lose, (x).
struct Seen {
  std::string events;
  std::vector<uint64_t> keys;
  CometScan scan{};
};

void feed(DialTransport transport, std::string_view bytes, Seen* seen) {
  constexpr std::string_view kLetters = ".hpmgaicx";
  CometInput input{};
  input.at = reinterpret_cast<const uint8_t*>(bytes.data());
  input.end = input.at + bytes.size();
  while (true) {
    const CometEvent event = read_comet(transport, &seen->scan, &input);
    if (event == CometEvent::kNone) return;
    seen->events.push_back(kLetters[static_cast<size_t>(event)]);
    if (event == CometEvent::kMessage) seen->keys.push_back(seen->scan.key);
    if (event == CometEvent::kBroken) return;
  }
}

Seen read_whole(DialTransport transport, std::string_view bytes) {
  Seen seen;
  feed(transport, bytes, &seen);
  return seen;
}

/// Checks that every split of the bytes in two parts, and byte by byte, gives the same events.
void expect_events(DialTransport transport, std::string_view bytes, const std::string& wanted) {
  const Seen whole = read_whole(transport, bytes);
  if (!EXPECT(whole.events == wanted)) unit::fail(__FILE__, __LINE__, whole.events);
  Seen single;
  for (const char& byte : bytes) feed(transport, {&byte, 1}, &single);
  EXPECT(single.events == wanted);
  EXPECT(single.keys == whole.keys);
  for (size_t at = 1; at < bytes.size(); ++at) {
    Seen cut;
    feed(transport, bytes.substr(0, at), &cut);
    feed(transport, bytes.substr(at), &cut);
    if (!EXPECT(cut.events == wanted) || !EXPECT(cut.keys == whole.keys)) return;
  }
}

std::string websocket_frame(char first, const std::string& content) {
  std::string out(1, first);
  if (content.size() < 126) {
    out.push_back(static_cast<char>(content.size()));
  } else {
    out.push_back(126);
    out.push_back(static_cast<char>(content.size() >> 8));
    out.push_back(static_cast<char>(content.size() & 0xff));
  }
  return out + content;
}

const std::string kMessageOne =
    R"({"type":"message","channel":"a","cursor":"00000000000000aa.1","data":"x"})";
const std::string kSubscribed =
    R"({"type":"subscribed","cursor":"00000000000000aa.0","recovered":true,)"
    R"("channels":["\",\"cursor\":\"00000000000000aa.3","\"recovered\":false"]})";
const std::string kNotRecovered =
    R"({"type":"subscribed","cursor":"00000000000000aa.0","recovered":false})";
/// The data of a message can contain the words that the reader looks for.
const std::string kTricky =
    R"({"type":"message","channel":",","cursor":"00000000000000aa.2",)"
    R"("data":"\",\"cursor\":\"00000000000000aa.3\",\"recovered\":false}"})";

}  // namespace

TEST("a subscriber reads events, and the position that the first event of the server has") {
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
  const std::string events =
      "retry: 2000\nid: 00000000000000aa.1\nevent: megacomet.subscribed\n"
      "data: {\"recovered\":true}\n\n:\n"
      "id: 00000000000000aa.2\nevent: goal\ndata: 1:0\ndata: id: 7\n\n"
      "id: 00000000000000aa.3\ndata: x\n\n";
  expect_events(DialTransport::kSse, head + events, "hpmm");
  const Seen seen = read_whole(DialTransport::kSse, head + events);
  EXPECT(seen.keys.size() == 2 && seen.keys[0] != seen.keys[1]);
  EXPECT(seen.scan.number == 3);
  expect_events(DialTransport::kSse,
                head + "event: megacomet.gap\ndata: {\"recovered\":false}\n\n" + events,
                "hgpmm");
  expect_events(DialTransport::kSse,
                head + "retry: 1\nid: 00000000000000aa.7\nevent: megacomet.gap\ndata: {}\n\n:\n",
                "hgp");
  expect_events(
      DialTransport::kSse, head + "retry: 1\nevent: megacomet.shutdown\ndata: {}\n\n", "h");
  expect_events(DialTransport::kSse, head + "retry: 2000\n\nid: 00000000000000aa.1\n\n", "hp");
  expect_events(DialTransport::kSse, head + "event: megacomet.\ndata: x\nid: 1:0\n\n", "hm");
}

TEST("a subscriber reads frames, whatever their size, with control frames between them") {
  const std::string head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
  const std::string long_one =
      R"({"type":"message","channel":"a","cursor":"00000000000000aa.9","data":")" +
      std::string(300, 'y') + "\"}";
  const std::string stream = websocket_frame('\x81', kSubscribed) +
                             websocket_frame('\x81', kMessageOne) + websocket_frame('\x89', "") +
                             websocket_frame('\x89', "hello") + websocket_frame('\x81', kTricky) +
                             websocket_frame('\x8a', "") + websocket_frame('\x81', long_one) +
                             websocket_frame('\x88', "\x03\xe9");
  expect_events(DialTransport::kWebSocket, head + stream, "hpmiimmc");
  expect_events(DialTransport::kWebSocket, head + websocket_frame('\x81', kNotRecovered), "hgp");
  expect_events(
      DialTransport::kWebSocket, head + websocket_frame('\x81', R"({"type":"pong"})"), "h");
  const std::string parts = websocket_frame('\x01', kMessageOne.substr(0, 60)) +
                            websocket_frame('\x89', "") +
                            websocket_frame('\x80', kMessageOne.substr(60));
  expect_events(DialTransport::kWebSocket, head + parts, "him");
  // A server does not mask.
  EXPECT(read_whole(DialTransport::kWebSocket, head + "\x81\x85").events == "hx");
}

TEST("a subscriber reads lines of a stream, and skips empty ones") {
  const std::string head = "HTTP/1.1 200 OK\r\n\r\n";
  const std::string lines = kSubscribed + "\n\n" + kMessageOne + "\n" + kTricky + "\n\n";
  expect_events(DialTransport::kStream, head + lines, "hpmm");
  expect_events(DialTransport::kStream, head + kNotRecovered + "\n" + lines, "hgppmm");
}

TEST("a subscriber without a message resumes from the answer to its subscription") {
  const std::string answer =
      R"({"type":"subscribed","cursor":"00000000000000aa.41","recovered":true,"channels":["a"]})";
  const std::string gap =
      R"({"type":"subscribed","cursor":"00000000000000aa.42","recovered":false})";
  const std::string upgraded = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
  const std::string found = "HTTP/1.1 200 OK\r\n\r\n";
  const auto number_after = [](DialTransport transport, const std::string& bytes) {
    return read_whole(transport, bytes).scan.number;
  };
  EXPECT(number_after(DialTransport::kSse, found + "id: 00000000000000aa.40\n\n") == 40);
  EXPECT(number_after(DialTransport::kWebSocket, upgraded + websocket_frame('\x81', answer)) == 41);
  EXPECT(number_after(DialTransport::kWebSocket, upgraded + websocket_frame('\x81', gap)) == 42);
  EXPECT(number_after(DialTransport::kStream, found + answer + "\n") == 41);
}

TEST("a subscriber reads consecutive polls, and the cursor from which it resumes") {
  const std::string one = R"({"channel":"a","cursor":"00000000000000aa.41","data":"x"})";
  const std::string two = R"({"channel":",","cursor":"00000000000000aa.42","data":",\"cursor\""})";
  const auto answer = [](const std::string& body) {
    return "HTTP/1.1 200 OK\r\nmegacomet-CURSOR: 00000000000000aa.42\r\nCache-Control: no-store\r\n"
           "Content-Type: application/json\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
  };
  const std::string end = R"(],"cursor":"00000000000000aa.42","recovered":)";
  const std::string both = answer("{\"messages\":[" + one + "," + two + end + "true}");
  const std::string none =
      "HTTP/1.1 204 No Content\r\nMegacomet-Cursor: 00000000000000aa.42\r\n\r\n";
  const std::string lost = answer("{\"messages\":[" + end + "false}");
  expect_events(DialTransport::kPoll, both + none + lost + both, "hmmahahgahmma");
  const Seen seen = read_whole(DialTransport::kPoll, none);
  EXPECT_EQUAL(seen.scan.key, 0xaaU);
  EXPECT_EQUAL(seen.scan.number, 42U);
  EXPECT_EQUAL(seen.scan.status, 204);
}

TEST("a message has the same key on every transport that sends JSON, and on SSE") {
  const std::string head = "HTTP/1.1 200 OK\r\n\r\n";
  const Seen line = read_whole(DialTransport::kStream, head + kMessageOne + "\n");
  const Seen text =
      read_whole(DialTransport::kWebSocket, head + websocket_frame('\x81', kMessageOne));
  const Seen event = read_whole(DialTransport::kSse, head + "id: 00000000000000aa.1\ndata: x\n\n");
  EXPECT(line.keys.size() == 1 && line.keys == text.keys && line.keys == event.keys);
}

TEST("a response of another protocol is broken, and the reader consumes any bytes") {
  for (const char* text : {"SSH-2.0-x\r\n",
                           "HTTP/1.0 200 OK\r\n",
                           "HTTP/1.1 2x0\r\n",
                           "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n"}) {
    EXPECT(read_whole(DialTransport::kPoll, text).events == "x");
  }
  EXPECT(read_whole(DialTransport::kSse, "HTTP/1.1 503 Busy\r\n\r\n").scan.status == 503);
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 4000000000\r\n\r\n";
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (size_t left = unit::upto(200); left > 0; --left) {
      constexpr std::string_view kLikely = "\"\",:{}cursor\ndatarecoveredfalse\x81\x05\x7e\x7f\r";
      const bool is_likely = unit::upto(3) > 0;
      bytes.push_back(is_likely ? kLikely[unit::upto(kLikely.size() - 1)]
                                : static_cast<char>(unit::upto(255)));
    }
    for (const DialTransport transport : {DialTransport::kSse,
                                          DialTransport::kWebSocket,
                                          DialTransport::kPoll,
                                          DialTransport::kStream}) {
      read_whole(transport, head + bytes);
    }
  }
}

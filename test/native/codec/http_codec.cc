// Tests of the request parser: the requests that it accepts, those that it rejects and with which
// status, and that the split of the bytes never matters.
#include "codec/http_codec.h"

#include <string>
#include <vector>

#include "support/unit.h"

using namespace megacomet;
using namespace std::string_view_literals;

namespace {

constexpr auto kGet = "GET / HTTP/1.1\r\nHost: a\r\n"sv;
constexpr auto kPost = "POST / HTTP/1.1\r\nHost: a\r\n"sv;
constexpr auto kOldPost = "POST / HTTP/1.0\r\nHost: a\r\n"sv;

std::string text_of(const HttpHead& head) {
  std::string text(head.method_text);
  text += " " + std::string(head.target_text) + " 1." + std::to_string(head.minor_version) + " [" +
          std::string(head.host.host) + "] body " + std::to_string(static_cast<int>(head.framing)) +
          " " + std::to_string(head.content_length) + "\n";
  for (size_t at = 0; at < head.lines_count; ++at) {
    text += std::string(head.lines[at].name()) + ": " + std::string(head.lines[at].value()) + "\n";
  }
  return text;
}

/// Parses the bytes received so far, in memory of exactly that size.
HeadResult parse(std::string_view bytes, HeadProgress* progress, std::string* description) {
  const std::vector<char> tight(bytes.begin(), bytes.end());
  HttpHead head;
  const HeadResult result = parse_head({tight.data(), tight.size()}, progress, &head);
  switch (result.status) {
    case HeadStatus::kIncomplete:
      *description = "incomplete";
      break;
    case HeadStatus::kBad:
      *description = std::to_string(result.answer) + " " + result.reason;
      break;
    default:
      *description = "after " + std::to_string(result.consumed) + ": " + text_of(head);
  }
  return result;
}

/// The result of parsing the bytes in parts of at most `part_max`.
std::string in_parts(std::string_view bytes, size_t part_max) {
  HeadProgress progress;
  std::string description = "incomplete";
  for (size_t size = 0; size < bytes.size();) {
    size = std::min(bytes.size(), size + 1 + unit::upto(part_max - 1));
    if (parse(bytes.substr(0, size), &progress, &description).status != HeadStatus::kIncomplete) {
      break;
    }
  }
  return description;
}

std::string at_once(std::string_view bytes) {
  HeadProgress progress;
  std::string description;
  (void)parse(bytes, &progress, &description);
  return description;
}

/// Checks that every split of the bytes gives the same result as all of them at once; returns it.
std::string anyhow(std::string_view bytes) {
  const std::string wanted = at_once(bytes);
  for (size_t split = 0; split <= bytes.size(); ++split) {
    HeadProgress progress;
    std::string description;
    const HeadResult first = parse(bytes.substr(0, split), &progress, &description);
    if (first.status == HeadStatus::kIncomplete) (void)parse(bytes, &progress, &description);
    if (!EXPECT(description == wanted)) unit::fail(__FILE__, __LINE__, description);
  }
  EXPECT(in_parts(bytes, 1) == wanted);
  return wanted;
}

/// The status of a rejected request; 0 for an accepted one, 1 for an incomplete one.
int answer_to(std::string_view bytes) {
  const std::string end = anyhow(bytes);
  if (end == "incomplete") return 1;
  return end[0] == 'a' ? 0 : std::stoi(end);
}

int answer_to(std::string_view line, std::string_view rest) {
  return answer_to(std::string(line) + std::string(rest));
}

struct Case {
  std::string_view bytes;
  int answer;
};

template <size_t kCount>
void expect_answers(const Case (&cases)[kCount], std::string_view front, std::string_view back) {
  for (const Case& each : cases) {
    const std::string bytes = std::string(front) + std::string(each.bytes) + std::string(back);
    if (!EXPECT_EQUAL(answer_to(bytes), each.answer)) unit::fail(__FILE__, __LINE__, bytes);
  }
}

/// Checks that one line of the field is accepted, and a second one only if the field may repeat.
void expect_repeats(const std::string& name, bool is_once) {
  const std::string front = name == "host" ? "GET / HTTP/1.1\r\n" : std::string(kGet);
  const char* value = "chunked";
  if (name == "host") value = "a";
  if (name == "content-length") value = "1";
  if (name == "expect") value = "100-continue";
  const std::string line = name + ": " + value + "\r\n";
  EXPECT_EQUAL(answer_to(front + line + "\r\n"), 0);
  EXPECT_EQUAL(answer_to(front + line + line + "\r\n"), is_once ? 400 : 0);
}

/// Parses a complete head. The text must outlive the head.
HttpHead head_of(std::string_view bytes) {
  HttpHead head;
  HeadProgress progress;
  EXPECT(parse_head(bytes, &progress, &head).status == HeadStatus::kComplete);
  return head;
}

bool is_kept(std::string_view bytes) {
  return keeps_alive(head_of(bytes));
}

}  // namespace

TEST("a head has the method, target, host, framing and fields of the request") {
  const HttpHead head = head_of(
      "POST /a%20b?c=d HTTP/1.1\r\n"
      "HOST: example.com:8080\r\n"
      "Content-Length: 12\r\n"
      "X-Empty:\r\n"
      "X-Blanks: \t a \t b \t \r\n"
      "Upgrade: a\r\n"
      "upgrade: b\r\n"
      "Expect: 100-Continue\r\n\r\n");
  EXPECT(head.method == Method::kPost && head.method_text == "POST");
  EXPECT(head.target_text == "/a%20b?c=d");
  EXPECT(head.target.form == TargetForm::kOrigin);
  EXPECT(head.target.path == "/a%20b" && head.target.query == "c=d");
  EXPECT(head.host.host == "example.com" && head.host.port == 8080);
  EXPECT(head.framing == BodyFraming::kLength);
  EXPECT_EQUAL(head.content_length, 12U);
  EXPECT_EQUAL(head.minor_version, 1);
  EXPECT_EQUAL(head.lines_count, 7);
  EXPECT(head.lines[2].name() == "X-Empty" && head.lines[2].value().empty());
  EXPECT(head.lines[2].field() == Field::kOther);
  EXPECT(head.lines[3].value() == "a \t b");
  EXPECT(head.value(Field::kUpgrade) == "a" && head.lines[5].field() == Field::kUpgrade);
  EXPECT(!head.has(Field::kOrigin) && head.value(Field::kOrigin).empty());
  EXPECT(!head.has(Field::kOther));
}

TEST("every known method and field is found by its name") {
#define X(identifier, name)                                          \
  if (Method::identifier != Method::kConnect) {                      \
    const std::string bytes = name " / HTTP/1.1\r\nHost: a\r\n\r\n"; \
    EXPECT(head_of(bytes).method == Method::identifier);             \
  }
  MC_HTTP_METHODS(X)
#undef X
#define X(identifier, name, repeats)              \
  EXPECT(field_named(name) == Field::identifier); \
  EXPECT(field_named(std::string(name) + "s") == Field::kOther);
  MC_HTTP_FIELDS(X)
#undef X
  EXPECT(field_named("SEC-WebSocket-KEY") == Field::kSecWebsocketKey);
  EXPECT(field_named("") == Field::kOther);
  EXPECT(head_of("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n").method == Method::kConnect);
}

TEST("a reused head keeps nothing of the previous request") {
  HttpHead head;
  HeadProgress progress;
  constexpr std::string_view kFirst =
      "POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
  EXPECT(parse_head(kFirst, &progress, &head).status == HeadStatus::kComplete);
  progress = {};
  EXPECT(parse_head("GET / HTTP/1.0\r\n\r\n", &progress, &head).status == HeadStatus::kComplete);
  EXPECT(text_of(head) == "GET / 1.0 [] body 0 0\n");
  EXPECT(!head.has(Field::kHost) && !head.has(Field::kContentLength));
  EXPECT(head.target.form == TargetForm::kOrigin && head.target.authority.host.empty());
}

TEST("bytes after a head are not consumed") {
  const std::string first = std::string(kPost) + "Content-Length: 3\r\n\r\n";
  const std::string bytes = first + "abcGET / HTTP/1.1\r\n";
  HttpHead head;
  HeadProgress progress;
  const HeadResult result = parse_head(bytes, &progress, &head);
  EXPECT(result.status == HeadStatus::kComplete);
  EXPECT_EQUAL(result.consumed, first.size());
}

TEST("one empty line before a request is skipped, a second one is rejected") {
  EXPECT(anyhow("\r\n" + std::string(kGet) + "\r\n") ==
         "after 29: GET / 1.1 [a] body 0 0\nHost: a\n");
  EXPECT_EQUAL(answer_to("\r\n"), 1);
  EXPECT_EQUAL(answer_to("\r\n\r\n"), 400);
  EXPECT_EQUAL(answer_to("\n", kGet), 400);
  EXPECT_EQUAL(answer_to("\r", kGet), 400);
  EXPECT_EQUAL(answer_to(""), 1);
}

TEST("a malformed request line is rejected") {
  constexpr Case kCases[] = {
      {"GET / HTTP/1.1", 0},
      {"GET /\r\n", 400},  // HTTP/0.9
      {"GET / \r\n", 400},
      {"GET\r\n", 400},
      {"GET  / HTTP/1.1", 400},
      {"GET /  HTTP/1.1", 400},
      {"GET / HTTP/1.1 ", 400},
      {" GET / HTTP/1.1", 400},
      {"GET\t/\tHTTP/1.1", 400},
      {"GET /a b HTTP/1.1", 400},
      {"GET / HTTP/1.1\n", 400},
      {"GET / http/1.1", 400},
      {"GET / HTTP/1", 400},
      {"GET / HTTP/11", 400},
      {"GET / HTTP/1.10", 400},
      {"GET / HTTP/01.1", 400},
      {"GET / HTTP/1,1", 400},
      {"GET / HTTPS/1.1", 400},
      {"GET / HTTP/a.1", 400},
      {"GET / ICE/1.0", 400},
      {"GET / HTTP/1.2", 0},
      {"GET / HTTP/0.9", 505},
      {"GET / HTTP/2.0", 505},
      {"GET / HTTP/3.0", 505},
      {"PRI * HTTP/2.0", 400},
      {"get / HTTP/1.1", 501},
      {"GETS / HTTP/1.1", 501},
      {"BREW / HTTP/1.1", 501},
      {"G\"T / HTTP/1.1", 400},
      {"G\0T / HTTP/1.1"sv, 400},
      {"G\xc3\xa4T / HTTP/1.1", 400},
      {"(GET) / HTTP/1.1", 400},
      {"GET a HTTP/1.1", 400},
      {"GET /#a HTTP/1.1", 400},
      {"GET /\0 HTTP/1.1"sv, 400},
      {"GET /\xc3\xa4 HTTP/1.1", 400},
      {"GET http://b/ HTTP/1.1", 0},  // RFC 9112 3.2.2: the target replaces Host.
      {"GET http://a@a/ HTTP/1.1", 400},
      {"GET http:// HTTP/1.1", 400},
      {"GET http://a:80/ HTTP/1.1", 0},
      {"GET http://A HTTP/1.1", 0},
      {"GET https://a:443 HTTP/1.1", 0},
      {"GET https://a:80 HTTP/1.1", 0},
      {"GET http://a:81/ HTTP/1.1", 0},
      {"GET * HTTP/1.1", 400},
      {"OPTIONS * HTTP/1.1", 0},
      {"OPTIONS / HTTP/1.1", 0},
      {"GET a:80 HTTP/1.1", 400},
      {"CONNECT a:80 HTTP/1.1", 0},
      {"CONNECT a HTTP/1.1", 400},
      {"CONNECT / HTTP/1.1", 400},
      {"CONNECT http://a/ HTTP/1.1", 400},
      {"TRACE / HTTP/1.1", 0},
  };
  expect_answers(kCases, "", "\r\nHost: a\r\n\r\n");
}

TEST("clients of other protocols are rejected by their first line") {
  EXPECT_EQUAL(answer_to("\x16\x03\x01\x02"sv), 400);  // TLS
  EXPECT_EQUAL(answer_to("*1\r\n$4\r\n"), 400);        // Redis
  EXPECT_EQUAL(answer_to("PING\r\n"), 400);
  EXPECT_EQUAL(answer_to("CONNECT {\"verbose\":false}\r\n"), 400);  // NATS
  EXPECT_EQUAL(answer_to("SUB a 1\r\n"), 400);
  EXPECT_EQUAL(answer_to("SSH-2.0-OpenSSH_9.2\r\n"), 400);
  EXPECT_EQUAL(answer_to("EHLO a\r\n"), 400);
  EXPECT_EQUAL(answer_to("PRI * HTTP/2.0\r\n"), 400);
  EXPECT_EQUAL(answer_to("GET / HTTP/2.0\r"), 505);
  EXPECT_EQUAL(answer_to("\x81\x85"), 400);  // A WebSocket frame
  EXPECT_EQUAL(answer_to("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n"), 400);
}

TEST("a malformed field line is rejected") {
  constexpr Case kCases[] = {
      {"A: b\r\n", 0},
      {"A:b\r\n", 0},
      {"A:\r\n", 0},
      {"A: b: c\r\n", 0},
      {"A: \xc3\xa4\xff\r\n", 0},
      {"!#$%&'*+-.^_`|~: b\r\n", 0},
      {"A : b\r\n", 400},
      {"A\t: b\r\n", 400},
      {" A: b\r\n", 400},
      {"\tA: b\r\n", 400},
      {"A: b\r\n c\r\n", 400},
      {"A: b\r\n\tc\r\n", 400},
      {"A: b\r\n \r\n", 400},
      {"A\r\n", 400},
      {": b\r\n", 400},
      {"A b: c\r\n", 400},
      {"A(b): c\r\n", 400},
      {"A\0b: c\r\n"sv, 400},
      {"\xc3\xa4: b\r\n", 400},
      {"A: b\n", 400},
      {"A: b\nC: d\r\n", 400},
      {"A: b\r", 400},
      {"A: b\rC: d\r\n", 400},
      {"A: b\r\r\n", 400},
      {"A: b\0c\r\n"sv, 400},
      {"A: b\x01\r\n", 400},
      {"A: b\x0b\r\n", 400},
      {"A: b\x0c\r\n", 400},
      {"A: b\x7f\r\n", 400},
      {"A: b\x1b[0m\r\n", 400},
      {"\n", 400},
      {"A:\n", 400},
      {"\r", 400},
      {"\rA: b\r\n", 400},
  };
  expect_answers(kCases, kGet, "\r\n");
}

TEST("a repeated field is rejected if it may occur only once, with any value") {
#define X(identifier, name, repeats) expect_repeats(name, #repeats == "kOnce"sv);
  MC_HTTP_FIELDS(X)
#undef X
}

TEST("a length that two servers could read in two ways is rejected") {
  constexpr Case kCases[] = {
      {"0", 0},
      {"5", 0},
      {"9223372036854775807", 0},
      {"", 400},
      {"05", 400},
      {"00", 400},
      {"0x5", 400},
      {"+5", 400},
      {"-1", 400},
      {"5,5", 400},
      {"5, 5", 400},
      {"5 5", 400},
      {"5;", 400},
      {"5.0", 400},
      {"5e1", 400},
      {"five", 400},
      {"\t5", 400},
      {"5\t", 400},
      {"\v5", 400},
      {"5\0"sv, 400},
      {"9223372036854775808", 400},
      {"18446744073709551615", 400},
      {"18446744073709551621", 400},
      {"99999999999999999999999", 400},
  };
  expect_answers(kCases, std::string(kPost) + "Content-Length: ", "\r\n\r\n");
  EXPECT_EQUAL(answer_to(kPost, "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"), 400);
  EXPECT_EQUAL(answer_to(kPost, "Content-Length: 5\r\ncontent-length: 6\r\n\r\n"), 400);
  EXPECT_EQUAL(answer_to(kPost, "Content-Length : 5\r\n\r\n"), 400);
  EXPECT_EQUAL(answer_to(kPost, "Content-Length\x0b: 5\r\n\r\n"), 400);
}

TEST("a transfer coding that two servers could read in two ways is rejected") {
  constexpr Case kCases[] = {
      {" chunked", 0},
      {" Chunked  ", 0},
      {"chunked", 0},
      {" xchunked", 400},
      {" chunkedx", 400},
      {" chunked;a=b", 400},
      {" \"chunked\"", 400},
      {" 'chunked'", 400},
      {" chunk", 400},
      {" identity", 400},
      {" gzip", 400},
      {" gzip, chunked", 400},
      {" chunked, gzip", 400},
      {" chunked, chunked", 400},
      {" chunked,", 400},
      {" ,chunked", 400},
      {"\tchunked", 400},
      {" chunked\t", 400},
      {" \vchunked", 400},
      {" \fchunked", 400},
      {" chunked\0"sv, 400},
      {" \0chunked"sv, 400},
      {" chu\xffnked", 400},
      {"", 400},
      {" ", 400},
      {"\r\n chunked", 400},
      {" chunked\r\nTransfer-Encoding: chunked", 400},
      {" identity\r\nTransfer-Encoding: chunked", 400},
      {" chunked\r\nContent-Length: 5", 400},
      {" chunked\r\nContent-Length: 0", 400},
      {" chunked\nContent-Length: 5", 400},
  };
  expect_answers(kCases, std::string(kPost) + "Transfer-Encoding:", "\r\n\r\n");
  EXPECT_EQUAL(answer_to(kPost, "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
  EXPECT_EQUAL(answer_to(kPost, "Transfer-Encoding : chunked\r\n\r\n"), 400);
  EXPECT_EQUAL(answer_to(kPost, "Transfer\0-Encoding: chunked\r\n\r\n"sv), 400);
  EXPECT_EQUAL(answer_to(kOldPost, "Transfer-Encoding: chunked\r\n\r\n"), 400);
}

TEST("the framing of a body follows from the head") {
  const auto framing_of = [](std::string_view lines) {
    const std::string bytes = std::string(kPost) + std::string(lines) + "\r\n";
    return head_of(bytes).framing;
  };
  EXPECT(framing_of("") == BodyFraming::kNone);
  EXPECT(framing_of("Content-Length: 0\r\n") == BodyFraming::kNone);
  EXPECT(framing_of("Content-Length: 1\r\n") == BodyFraming::kLength);
  EXPECT(framing_of("Transfer-Encoding: chunked\r\n") == BodyFraming::kChunked);
  // Similar names.
  EXPECT(framing_of("Content_Length: 1\r\nX-Transfer-Encoding: chunked\r\n") == BodyFraming::kNone);
}

TEST("a request has exactly one valid host") {
  constexpr Case kCases[] = {
      {"Host: a\r\n", 0},
      {"host:A.b:80\r\n", 0},
      {"Host: [::1]:8080\r\n", 0},
      {"Host: 127.0.0.1\r\n", 0},
      {"", 400},
      {"Host:\r\n", 400},
      {"Host: \r\n", 400},
      {"Host: a\r\nHost: a\r\n", 400},
      {"Host: a\r\nhost: b\r\n", 400},
      {"Host: a, b\r\n", 400},
      {"Host: a,a\r\n", 400},
      {"Host: u@a\r\n", 400},
      {"Host: u:p@a\r\n", 400},
      {"Host: a/b\r\n", 400},
      {"Host: /a\r\n", 400},
      {"Host: http://a\r\n", 400},
      {"Host: a b\r\n", 400},
      {"Host: a?b\r\n", 400},
      {"Host: a#b\r\n", 400},
      {"Host: a:b\r\n", 400},
      {"Host: a:99999\r\n", 400},
      {"Host: :80\r\n", 400},
      {"Host: [::1\r\n", 400},
      {"Host: a\\b\r\n", 400},
      {"Host: a%00\r\n", 400},
      {"Host: \xc3\xa4\r\n", 400},
  };
  expect_answers(kCases, "GET / HTTP/1.1\r\n", "\r\n");
}

TEST("HTTP/1.0 may omit the host, and then uses the host of the target") {
  EXPECT(head_of("GET / HTTP/1.0\r\n\r\n").host.host.empty());
  EXPECT(head_of("GET http://a:1/ HTTP/1.0\r\n\r\n").host.host == "a");
  EXPECT(head_of("GET / HTTP/1.0\r\nHost: b\r\n\r\n").host.host == "b");
  EXPECT_EQUAL(answer_to("GET / HTTP/1.0\r\nHost: b\r\nHost: b\r\n\r\n"), 400);
  EXPECT(head_of("GET http://a/ HTTP/1.0\r\nHost: b\r\n\r\n").host.host == "a");
}

TEST("an unknown expectation is rejected with 417") {
  EXPECT_EQUAL(answer_to(kPost, "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n"), 0);
  EXPECT_EQUAL(answer_to(kPost, "Transfer-Encoding: chunked\r\nExpect: 100-CONTINUE\r\n\r\n"), 0);
  EXPECT_EQUAL(answer_to(kGet, "Expect: 100-continue\r\n\r\n"), 0);
  EXPECT_EQUAL(answer_to(kOldPost, "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n"), 0);
  EXPECT_EQUAL(answer_to(kPost, "Expect: 200-ok\r\n\r\n"), 417);
  EXPECT_EQUAL(answer_to(kPost, "Expect:\r\n\r\n"), 417);
  EXPECT_EQUAL(answer_to(kPost, "Expect: 100-continue, a\r\n\r\n"), 417);
}

TEST("a connection persists as RFC 9112 9.3 requires") {
  EXPECT(is_kept("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
  EXPECT(is_kept("GET / HTTP/1.1\r\nHost: a\r\nConnection: closed, xclose\r\n\r\n"));
  EXPECT(!is_kept("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
  EXPECT(!is_kept("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, ,\tCLOSE\r\n\r\n"));
  EXPECT(!is_kept("GET / HTTP/1.1\r\nHost: a\r\nConnection: a\r\nConnection: close\r\n\r\n"));
  EXPECT(!is_kept("GET / HTTP/1.0\r\nHost: a\r\n\r\n"));
  EXPECT(is_kept("GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n"));
  EXPECT(!is_kept("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n"));
}

TEST("the members of a list are found on all lines of its field, and empty members are skipped") {
  const HttpHead head = head_of(
      "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nX: y\r\nupgrade: ,, WebSocket ,\r\n\r\n");
  EXPECT(head.lists(Field::kUpgrade, "websocket"));
  EXPECT(head.lists(Field::kUpgrade, "H2C"));
  EXPECT(!head.lists(Field::kUpgrade, "web"));
  EXPECT(!head.lists(Field::kUpgrade, ""));
  EXPECT(!head.lists(Field::kUpgrade, "y"));
  EXPECT(!head.lists(Field::kConnection, "upgrade"));
  std::string_view list = " a ,\tb c,,d";
  std::string_view member;
  EXPECT(next_member(&list, &member) && member == "a");
  EXPECT(next_member(&list, &member) && member == "b c");
  EXPECT(next_member(&list, &member) && member == "d");
  EXPECT(!next_member(&list, &member));
  list = " , \t,";
  EXPECT(!next_member(&list, &member));
}

TEST("each limit of a head is exact to the byte") {
  const auto line = [](const std::string& method, const std::string& target) {
    return method + " " + target + " HTTP/1.1\r\nHost: a\r\n\r\n";
  };
  const std::string longest(bounds::kHttpTargetBytesMax - 1, 'a');
  // Too long for anyhow(), which tries every split.
  EXPECT(at_once(line("GET", "/" + longest))[0] == 'a');
  EXPECT(at_once(line("GET", "/a" + longest)) == "414 target too long, in bytes");
  EXPECT(in_parts(line("GET", "/a" + longest), 1000) == "414 target too long, in bytes");
  EXPECT(at_once("GET /a" + longest) == "414 target too long, in bytes");
  EXPECT(at_once("GET /" + longest) == "incomplete");
  const std::string method(bounds::kHttpMethodBytesMax, 'A');
  EXPECT(anyhow(line(method, "/")) == "501 unknown method");
  EXPECT(anyhow("A" + method) == "501 method too long, in bytes");
  EXPECT(anyhow(method) == "incomplete");
  EXPECT_EQUAL(answer_to("GET / HTTP/1.11"), 400);

  std::string fields(kGet);
  for (size_t count = 1; count < bounds::kHttpFieldsMax; ++count) fields += "a:\r\n";
  EXPECT_EQUAL(answer_to(fields + "\r\n"), 0);
  EXPECT_EQUAL(answer_to(fields + "a"), 431);
}

TEST("a head of more than kHttpHeadBytesMax bytes is rejected at the last allowed byte") {
  const auto head_of_size = [](size_t size) {
    std::string bytes = std::string(kGet) + "a: ";
    bytes.append(size - bytes.size() - 4, 'b');
    return bytes + "\r\n\r\n";
  };
  const std::string most = head_of_size(bounds::kHttpHeadBytesMax);
  const std::string more = head_of_size(bounds::kHttpHeadBytesMax + 1);
  for (const size_t part : {size_t{400}, size_t{5000}, size_t{100'000}}) {
    EXPECT(in_parts(most, part)[0] == 'a');
    EXPECT(in_parts(more, part) == "431 head too long, in bytes");
  }
  EXPECT(at_once(more.substr(0, bounds::kHttpHeadBytesMax)) == "431 head too long, in bytes");
  EXPECT(at_once(more.substr(0, bounds::kHttpHeadBytesMax - 1)) == "incomplete");
  // Pipelined bytes after the head do not count.
  EXPECT(at_once(std::string(kGet) + "\r\n" + std::string(100'000, 'a'))[0] == 'a');
}

TEST("each byte of a head is scanned once, however small the parts") {
  HeadProgress progress;
  HttpHead head;
  const std::string bytes = std::string(kGet) + "a: b\r\n";
  for (size_t size = 0; size <= bytes.size(); ++size) {
    EXPECT(parse_head({bytes.data(), size}, &progress, &head).status == HeadStatus::kIncomplete);
    EXPECT_EQUAL(progress.scanned, size);
  }
  EXPECT(unit::aborts([&] { (void)parse_head("GET", &progress, &head); }));
}

TEST("heads with random faults give the same result however they are split") {
  constexpr std::string_view kRequests[] = {
      "GET /a?b HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
      "POST http://a.b:80/ HTTP/1.1\r\nHost: a.b\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
      "\r\nOPTIONS * HTTP/1.0\r\nContent-Length: 12\r\nExpect: 100-continue\r\nA: b\r\n\r\n"};
  constexpr std::string_view kBytes = "\r\n\0\t :,/1aH\x80\xff"sv;
  size_t rejected = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes(kRequests[unit::upto(2)]);
    for (uint64_t faults = unit::upto(3); faults > 0; --faults) {
      const size_t at = unit::upto(bytes.size() - 1);
      const char byte = kBytes[unit::upto(kBytes.size() - 1)];
      if (unit::upto(1) == 0) {
        bytes[at] = byte;
      } else {
        bytes.insert(at, unit::upto(2), byte);
      }
      if (unit::upto(3) == 0) bytes.erase(unit::upto(bytes.size() - 1), 1 + unit::upto(4));
    }
    const std::string wanted = at_once(bytes);
    rejected += wanted[0] == '4' || wanted[0] == '5' ? 1 : 0;
    if (!EXPECT(in_parts(bytes, 1 + unit::upto(40)) == wanted)) return;
  }
  EXPECT(rejected > 2000 && rejected < 18'000);
}

TEST("a field is found in a head that cannot be parsed, as far as it arrived") {
  const auto origin_in = [](std::string_view bytes) { return find_value(bytes, Field::kOrigin); };
  EXPECT(origin_in("GET / HTTP/9\r\nHost: a\r\nORIGIN:  http://a \r\nX") == "http://a");
  EXPECT(origin_in("GET / HTTP/9\nOrigin: b\n") == "b");
  EXPECT(origin_in("Origin: a\r\nX: b\r\n").empty());
  EXPECT(origin_in("GET / HTTP/9\r\nOrigin: http://a").empty());
  EXPECT(origin_in("GET / HTTP/9\r\nOrigin: a\r\nOrigin: a\r\n").empty());
  EXPECT(origin_in("GET / HTTP/9\r\n\r\nOrigin: a\r\n").empty());
  EXPECT(origin_in("GET / HTTP/9\r\nOrigin: a\x01\r\n").empty());
  EXPECT(origin_in("").empty());
}

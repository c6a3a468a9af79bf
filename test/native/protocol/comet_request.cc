// Tests of request routes: the client ids of the legacy long poll.
#include "protocol/comet_request.h"

#include <string>
#include <utility>
#include <vector>

#include "support/unit.h"

using namespace megacomet;

namespace {

/// Reads a GET of `target`. Returns the route and the code of the fault, and sets the first
/// channel.
std::pair<CometRoute, uint16_t> read_get(const std::string& target, std::string* channel) {
  const std::string text = "GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n";
  HeadProgress progress;
  HttpHead head;
  if (!EXPECT(parse_head(text, &progress, &head).status == HeadStatus::kComplete)) return {};
  frame::Comet rules;
  rules.channels_per_connection_max = 10;
  rules.flags = comet_flag::kMailboxes;
  CometRequest request;
  const HttpFault fault = read_comet_request(head, rules, &request);
  *channel = request.channels.empty() ? "" : request.channels.front();
  return {request.route, fault.code};
}

}  // namespace

TEST("the path of a legacy poll is an id and .js, with any query") {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"/Jim.js", "Jim"},
      {"/Jim.js?c=1", "Jim"},
      {"/Jim.js?%&&=%zz", "Jim"},
      {"/a%2Fb.js", "a/b"},
      {"/a/b.js", "a/b"},
      {"/%c3%bc.js", "\xc3\xbc"},
      {"/.js.js", ".js"},
      {"/poll.js", "poll"},
      {"http://x/Jim.js", "Jim"},
      {"/" + std::string(200, 'x') + ".js", std::string(200, 'x')},
  };
  for (const auto& [target, id] : cases) {
    std::string channel;
    const auto [route, code] = read_get(target, &channel);
    EXPECT(route == CometRoute::kMailbox);
    EXPECT_EQUAL(code, 0);
    EXPECT(channel == id);
  }
}

TEST("an invalid id is rejected, and other paths are not legacy polls") {
  for (const char* target : {"/a*.js",
                             "/a/*.js",
                             "/*.js",
                             "/%.js",
                             "/%ff.js",
                             "/%00.js",
                             "/%20a.js",
                             "/a%20.js",
                             "/a%0a.js",
                             "/%c2%85.js"}) {
    std::string channel;
    const auto [route, code] = read_get(target, &channel);
    EXPECT(route == CometRoute::kMailbox);
    EXPECT_EQUAL(code, 400);
    EXPECT(channel.empty());
  }
  std::string channel;
  EXPECT_EQUAL(read_get("/" + std::string(201, 'x') + ".js", &channel).second, 400);
  for (const char* target : {"/.js", "/js", "/a.JS", "/a.js/", "/", "/a.json", "/x?a.js"}) {
    EXPECT(read_get(target, &channel).first == CometRoute::kNone);
    EXPECT_EQUAL(read_get(target, &channel).second, 404);
  }
  EXPECT(read_get("/poll?channel=a.js", &channel).first == CometRoute::kPoll);
}

TEST("a path for a log line has no id of a mailbox") {
  frame::Comet rules;
  for (const char* path :
       {"/a.js", "/a.JS", "/a.js/", "/a%2Ejs", "/a%2ejS", "/a/b.js", "/a.json"}) {
    rules.flags = comet_flag::kMailboxes;
    EXPECT(loggable_path(path, rules) == "/ID.js");
    rules.flags = 0;
    EXPECT(loggable_path(path, rules) == path);
  }
  rules.flags = comet_flag::kMailboxes;
  for (const char* path : {"", "/", "/events", "/.env", "/js", "/a%2E"}) {
    EXPECT(loggable_path(path, rules) == path);
  }
}

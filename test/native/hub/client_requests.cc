// Tests of requests that the manager answers: bounded, and each ends once.
#include "hub/client_requests.h"

#include <string>
#include <vector>

#include "base/bounds.h"
#include "support/requests_world.h"
#include "support/unit.h"

using namespace megacomet;
using unit::answers;

namespace {

void on_response(Services&, Connection* connection, const Response& response) {
  std::string text = std::to_string(connection->fd()) + " ";
  answers.push_back(text.append(response.id)
                        .append(" ")
                        .append(response.error.empty() ? response.members : response.error));
}

struct World : unit::RequestsWorld<ClientRequests, &Protocol::on_response, on_response> {
  RequestResult request(Connection* connection, const std::string& id) {
    return requests.request(*connection, id, frame::ClientRequest());
  }
  void respond(uint32_t number, const std::string& error, const std::string& members) {
    frame::ClientResponse response;
    response.request = number;
    response.error = error;
    response.members.bytes = members;
    requests.on_response(response);
  }
};

}  // namespace

TEST("an answer reaches the connection that asked, with its id, and only once") {
  World world;
  Connection* one = world.parts.open(5);
  Connection* other = world.parts.open(6);
  EXPECT(world.request(one, "x") == RequestResult::kSent);
  EXPECT(world.request(other, "y") == RequestResult::kSent);
  world.respond(2, "", "\"a\":1");
  world.respond(2, "", "\"a\":2");
  world.respond(1, "busy", "");
  world.respond(77, "", "");
  EXPECT(answers == std::vector<std::string>({"6 y \"a\":1", "5 x busy"}));
  EXPECT_EQUAL(world.requests.unanswered(), 0U);
}

TEST("a connection has a limit for unanswered requests, and so has the worker") {
  World world;
  Connection* greedy = world.parts.open(5);
  for (size_t count = 0; count < bounds::kClientRequestsPerConnection; ++count) {
    EXPECT(world.request(greedy, "") == RequestResult::kSent);
  }
  EXPECT(world.request(greedy, "") == RequestResult::kTooMany);
  for (int fd = 6; world.requests.unanswered() < bounds::kClientRequestsMax; ++fd) {
    EXPECT(world.request(world.parts.open(fd), "") == RequestResult::kSent);
  }
  EXPECT(world.request(world.parts.open(99), "") == RequestResult::kBusy);
  EXPECT(world.request(greedy, "") == RequestResult::kTooMany);
  EXPECT_EQUAL(world.count(Counter::kClientRequestsRejectedTotal), 3U);
  world.respond(1, "", "");
  EXPECT(world.request(greedy, "") == RequestResult::kSent);
}

TEST("a request that the manager does not answer ends with an error, and a late answer with none") {
  World world;
  world.requests.tick(65'530);
  Connection* connection = world.parts.open(5);
  EXPECT(world.request(connection, "x") == RequestResult::kSent);
  // The tick wraps.
  world.requests.tick(static_cast<uint16_t>(65'530 + bounds::kClientRequestSeconds));
  EXPECT(answers.empty());
  world.requests.tick(static_cast<uint16_t>(65'531 + bounds::kClientRequestSeconds));
  EXPECT(answers == std::vector<std::string>({"5 x no answer in time; retry later"}));
  world.respond(1, "", "late");
  EXPECT_EQUAL(answers.size(), 1U);
  EXPECT_EQUAL(world.count(Counter::kClientRequestsLateTotal), 1U);
}

TEST("an answer for a closed connection is dropped, although its record is used again") {
  World world;
  Connection* connection = world.parts.open(5);
  EXPECT(world.request(connection, "x") == RequestResult::kSent);
  EXPECT(world.request(connection, "y") == RequestResult::kSent);
  world.close(connection);
  EXPECT_EQUAL(world.requests.unanswered(), 2U);
  Connection* next = world.parts.open(5);
  EXPECT(next->fd() == 5);
  world.respond(1, "", "secret");
  world.requests.tick(bounds::kClientRequestSeconds + 1);
  EXPECT(answers.empty());
  EXPECT_EQUAL(world.requests.unanswered(), 0U);
}

TEST("a protocol without answers, and a connection that is closing, get none") {
  World world;
  Connection* silent = world.parts.open(5, true);
  EXPECT(world.request(silent, "x") == RequestResult::kSent);
  Connection* closing = world.parts.open(6);
  EXPECT(world.request(closing, "y") == RequestResult::kSent);
  closing->is_closing = true;
  world.respond(1, "", "a");
  world.respond(2, "", "b");
  EXPECT(answers.empty());
}

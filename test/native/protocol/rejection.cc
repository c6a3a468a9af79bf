// Tests of the answers to clients that the server has no room for, over real sockets.
#include <memory>
#include <string>
#include <vector>

#include "connection/drain.h"
#include "connection/rejected_peers.h"
#include "os/sys.h"
#include "support/comet_world.h"
#include "support/fixture.h"
#include "support/unit.h"

using namespace megacomet;
using unit::Client;

namespace {

constexpr char kEvents[] = "GET /events?channel=a HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n\r\n";
constexpr char kPoll[] = "GET /poll?channel=a HTTP/1.1\r\nHost: a\r\n\r\n";

struct World : unit::CometWorld {
  World() {
    frame::Comet rules = hub->rules();
    rules.origins = {"http://b"};
    hub->configure(std::move(rules));
  }

  /// A client that the server rejects.
  std::unique_ptr<Client> reject(const std::string& request) {
    auto client = std::make_unique<Client>(socket.port());
    if (!request.empty()) client->write(request);
    EXPECT(unit::run_until(loop.get(), [&] {
      const sys::Accepted accepted = sys::accept(socket.fd());
      if (accepted.status != sys::AcceptStatus::kAccepted) return false;
      transport->reject(accepted.fd, static_cast<uint8_t>(ProtocolId::kHttp));
      return true;
    }));
    return client;
  }

  std::string answer(const Client& client) {
    std::string text;
    EXPECT(unit::run_until(loop.get(), [&] {
      text += client.read_now();
      return client.has_end();
    }));
    return text;
  }

  void pass_ticks(int count) {
    for (; count > 0; --count) transport->tick(0);
  }
};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

uint32_t retry_ms_of(const std::string& text) {
  const size_t at = text.find("\nretry: ");
  return at == std::string::npos ? 0 : static_cast<uint32_t>(std::stoul(text.substr(at + 8)));
}

}  // namespace

TEST("a full server sends an EventSource a time to return, and no message") {
  World world;
  const std::string text = world.answer(*world.reject(kEvents));
  EXPECT(contains(text, "HTTP/1.1 200 OK\r\n"));
  EXPECT(contains(text, "Content-Type: text/event-stream"));
  EXPECT(contains(text, "Access-Control-Allow-Origin: http://b\r\n"));
  EXPECT(retry_ms_of(text) >= bounds::kRetryAfterMinS * 1000);
  // Without a name some clients would take it for a message.
  EXPECT(contains(text, "event: megacomet.full\n"));
}

TEST("a full server sends other requests an error with Retry-After") {
  World world;
  for (const char* request :
       {kPoll, "POST /events HTTP/1.1\r\nHost: a\r\n\r\n", "nonsense\r\n\r\n"}) {
    const std::string text = world.answer(*world.reject(request));
    EXPECT(contains(text, "HTTP/1.1 503 "));
    EXPECT(contains(text, "Retry-After: "));
    EXPECT(contains(text, "server full; retry later"));
  }
}

TEST("a rejected request may arrive in parts, or not at all") {
  World world;
  const std::unique_ptr<Client> slow = world.reject("GET /events?chan");
  const std::unique_ptr<Client> cut = world.reject("GET /events?channel=a HTTP/1.1\r\nHo");
  const std::unique_ptr<Client> silent = world.reject("");
  slow->write("nel=a HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT(retry_ms_of(world.answer(*slow)) > 0);
  world.pass_ticks(1);
  EXPECT(cut->read_now().empty());
  EXPECT(silent->read_now().empty());
  world.pass_ticks(1);
  EXPECT(retry_ms_of(world.answer(*cut)) > 0);
  EXPECT(contains(world.answer(*silent), "HTTP/1.1 503 "));
}

TEST("rejected peers have a limited number of slots, which become free again") {
  World world;
  std::vector<std::unique_ptr<Client>> clients;
  const auto http = static_cast<uint8_t>(ProtocolId::kHttp);
  for (size_t count = 0; count < bounds::kRejectedPeersMax; ++count) {
    EXPECT(world.transport->can_reject(http));
    clients.push_back(world.reject(""));
  }
  EXPECT(!world.transport->can_reject(http));
  clients.front()->close();
  EXPECT(unit::run_until(world.loop.get(), [&] { return world.transport->can_reject(http); }));
  // A peer that reads its answer and stays is closed in the end.
  world.pass_ticks(4);
  for (size_t index = 1; index < clients.size(); ++index) {
    EXPECT(contains(world.answer(*clients[index]), "HTTP/1.1 503 "));
  }
  clients.push_back(world.reject(kPoll));
  EXPECT(contains(world.answer(*clients.back()), "HTTP/1.1 503 "));
}

TEST("while the server is cut off a client is rejected, and retries soon") {
  World world;
  world.transport->services().is_cut_off = true;
  const std::string events = world.answer(*world.reject(kEvents));
  EXPECT(contains(events, "event: megacomet.unavailable\n"));
  const std::string text = world.answer(*world.reject(kPoll));
  EXPECT(contains(text, "HTTP/1.1 503 "));
  EXPECT(contains(text, kCutOff));
  EXPECT(contains(text, "Retry-After: "));
}

TEST("during a drain a client is rejected until the drain has ended") {
  World world;
  constexpr uint64_t kLeftNs = 60'000'000'000;
  world.transport->services().drain_ends_ns = sys::monotonic_ns() + kLeftNs;
  const uint32_t left_ms = drain_left_ms(world.transport->services());
  EXPECT(left_ms > 59'000 && left_ms <= 60'000);
  const std::string events = world.answer(*world.reject(kEvents));
  EXPECT(retry_ms_of(events) > left_ms);
  EXPECT(contains(events, "event: megacomet.shutdown\n"));
  const std::string text = world.answer(*world.reject(kPoll));
  EXPECT(contains(text, kShuttingDown));
  const size_t at = text.find("Retry-After: ");
  if (EXPECT(at != std::string::npos)) EXPECT(std::stoul(text.substr(at + 13)) >= 60);
}

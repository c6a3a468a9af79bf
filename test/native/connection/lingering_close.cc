// Tests of rejected peers that continue to send: they receive the response, for a limited time.
#include "connection/lingering_close.h"

#include <string>

#include <sys/socket.h>

#include "os/sys.h"
#include "support/fixture.h"
#include "support/unit.h"

using namespace megacomet;
using unit::Client;
using unit::ListeningSocket;

namespace {

/// A client, and the server's end of its connection.
struct Pair {
  explicit Pair(const ListeningSocket& listener) : client(listener.port()) {
    while (fd < 0) fd = sys::accept(listener.fd()).fd;
  }
  Client client;
  int fd = -1;
};

bool is_closed(int fd) {
  int type = 0;
  socklen_t size = sizeof type;
  return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0;
}

}  // namespace

TEST("a rejected peer that continues to send receives the response") {
  const LoopOwner loop = make_loop();
  LingeringClose linger(loop.get());
  const ListeningSocket listener;
  const Pair pair(listener);
  EXPECT(sys::send(pair.fd, "no", 2).status == sys::IoStatus::kDone);
  pair.client.write(std::string(100'000, 'x'));
  EXPECT(linger.take(pair.fd));
  EXPECT_EQUAL(linger.size(), 1U);
  pair.client.write(std::string(100'000, 'x'));
  unit::run_for(loop.get(), 50);
  pair.client.write("more");
  EXPECT(pair.client.read_now() == "no");
  EXPECT(pair.client.has_end());
  EXPECT(!is_closed(pair.fd));
  pair.client.half_close();
  EXPECT(unit::run_until(loop.get(), [&] { return linger.size() == 0; }));
  EXPECT(is_closed(pair.fd));
}

TEST("a peer that does not close is closed at the second tick, and one that resets at once") {
  const LoopOwner loop = make_loop();
  LingeringClose linger(loop.get());
  const ListeningSocket listener;
  const Pair stays(listener);
  Pair resets(listener);
  EXPECT(linger.take(stays.fd) && linger.take(resets.fd));
  resets.client.reset();
  EXPECT(unit::run_until(loop.get(), [&] { return linger.size() == 1; }));
  EXPECT(is_closed(resets.fd));
  linger.tick();
  EXPECT(!is_closed(stays.fd));
  linger.tick();
  EXPECT(is_closed(stays.fd));
  EXPECT_EQUAL(linger.size(), 0U);
  linger.tick();
}

TEST("the slots are limited and used again, and the destructor closes all") {
  const LoopOwner loop = make_loop();
  const ListeningSocket listener;
  std::vector<std::unique_ptr<Pair>> pairs;
  {
    LingeringClose linger(loop.get());
    for (size_t at = 0; at < bounds::kLingeringCloseMax; ++at) {
      pairs.push_back(std::make_unique<Pair>(listener));
      EXPECT(linger.take(pairs.back()->fd));
    }
    Pair late(listener);
    EXPECT(!linger.take(late.fd));
    EXPECT(!is_closed(late.fd));
    pairs[7]->client.half_close();
    EXPECT(unit::run_until(loop.get(), [&] { return linger.size() < bounds::kLingeringCloseMax; }));
    EXPECT(linger.take(late.fd));
  }
  for (const auto& pair : pairs) EXPECT(is_closed(pair->fd));
}

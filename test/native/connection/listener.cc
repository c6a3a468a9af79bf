// Tests of accepting over real sockets: limits, queues, rates, missing descriptors, draining.
#include "connection/listener.h"

#include <memory>
#include <vector>

#include <sys/resource.h>
#include <unistd.h>

#include "os/sys.h"
#include "support/fixture.h"
#include "support/unit.h"

using namespace megacomet;
using unit::Client;
using unit::ListeningSocket;
using unit::World;

namespace {

/// A worker's listener with all the parts that it uses.
struct Server {
  explicit Server(Ownership ownership = Ownership::kOwn)
      : control(world.loop.get(), &handler), listener(parts(), socket.fd(), ownership, 0) {}

  void connect(size_t count) {
    while (count-- > 0) clients.push_back(std::make_unique<Client>(socket.port()));
  }
  /// Watches the listener until it has accepted `count` clients.
  void accept(size_t count) {
    listener.watch(true);
    connect(count);
    EXPECT(world.reaches(Counter::kAcceptedTotal, count));
  }
  /// `count` clients connect to a worker with room for fewer: the listener pauses.
  void fill(uint32_t worker_max, size_t count) {
    world.admission.set_limits(worker_max, 0);
    listener.watch(true);
    connect(count);
    EXPECT(world.reaches(Counter::kListenersPaused, 1));
    EXPECT_EQUAL(world.count(Counter::kAcceptedTotal), worker_max);
    EXPECT_EQUAL(world.count(Counter::kRejectedTotal), 0U);
  }
  [[nodiscard]] size_t reset_clients() const {
    size_t count = 0;
    for (const auto& client : clients) count += client->is_reset() ? 1 : 0;
    return count;
  }

  [[nodiscard]] Listener::Parts parts() {
    return {world.loop.get(),
            &world.admission,
            world.transport.get(),
            &control,
            &world.counters,
            &pressure,
            &limits};
  }

  /// Whether a broadcast would yield to new connections.
  [[nodiscard]] bool accept_pressure() {
    const uint64_t now_ns = sys::monotonic_ns();
    pressure.end_slice(now_ns);
    return pressure.yield_s(now_ns) > 0.;
  }

  World world;
  unit::DeafHandler handler;
  ListeningSocket socket;
  Control control;
  AcceptPressure pressure;
  ClientLimits limits{&control, &world.counters};
  Listener listener;
  std::vector<std::unique_ptr<Client>> clients;
};

/// Lowers the soft limit of descriptors during its lifetime.
class FewDescriptors {
 public:
  explicit FewDescriptors(rlim_t count) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit few{count, before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &few);
  }
  FewDescriptors(const FewDescriptors&) = delete;
  FewDescriptors& operator=(const FewDescriptors&) = delete;
  ~FewDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

}  // namespace

TEST("a listener accepts only while it is watched") {
  Server server;
  server.connect(3);
  unit::run_for(server.world.loop.get(), 20);
  EXPECT_EQUAL(server.world.count(Counter::kAcceptedTotal), 0U);
  server.listener.watch(true);
  EXPECT(server.world.reaches(Counter::kAcceptedTotal, 3));
  server.listener.watch(false);
  server.connect(1);
  unit::run_for(server.world.loop.get(), 20);
  EXPECT_EQUAL(server.world.count(Counter::kAcceptedTotal), 3U);
  server.listener.watch(true);
  EXPECT(server.world.reaches(Counter::kAcceptedTotal, 4));
}

TEST("a listener accepts new peers in the middle of a long loop iteration") {
  Server server;
  struct Connecting final : MidIterationHandler {
    explicit Connecting(Server* all) : server(all) {}
    void on_mid_iteration() override {
      server->connect(1);
      server->listener.accept_next();
    }
    Server* server;
  } connecting(&server);
  server.accept(100);
  for (const auto& client : server.clients) client->write("x");
  server.world.transport->mid_iteration().set_handler(&connecting);
  // An iteration that began at time 0 is long.
  server.world.transport->mid_iteration().begin_iteration(0);
  ev_run(server.world.loop.get(), EVRUN_NOWAIT);
  EXPECT_EQUAL(server.world.count(Counter::kAcceptedTotal), 101U);
  // A listener that is not watched does not accept in between either.
  server.listener.watch(false);
  server.listener.accept_next();
  server.connect(1);
  ev_run(server.world.loop.get(), EVRUN_NOWAIT);
  EXPECT_EQUAL(server.world.count(Counter::kAcceptedTotal), 101U);
}

TEST("a listener of a full server resets peers and counts them") {
  Server server;
  server.world.block->allowance = 2;
  server.world.admission.set_server_full(true);
  server.listener.watch(true);
  server.connect(5);
  EXPECT(server.world.reaches(Counter::kRejectedTotal, 3));
  EXPECT_EQUAL(server.world.count(Counter::kRejectedFullTotal), 3U);
  EXPECT_EQUAL(server.world.count(Counter::kAcceptedTotal), 2U);
  EXPECT_EQUAL(server.reset_clients(), 3U);
  server.clients[0]->close();
  EXPECT(server.world.reaches(Counter::kConnections, 1));
  server.connect(1);
  EXPECT(server.world.reaches(Counter::kAcceptedTotal, 3));
}

TEST("a listener of a full worker pauses until a connection closes") {
  Server server;
  server.fill(2, 5);
  server.clients[0]->close();
  EXPECT(server.world.reaches(Counter::kAcceptedTotal, 3));
  EXPECT(server.world.reaches(Counter::kListenersPaused, 1));
  EXPECT_EQUAL(server.world.count(Counter::kConnections), 2U);
}

TEST("a listener of a worker that stays full rejects the queued peers, and accepts later ones") {
  Server server;
  server.fill(2, 5);
  EXPECT(server.world.reaches(Counter::kRejectedFullTotal, 3));
  EXPECT_EQUAL(server.reset_clients(), 3U);
  EXPECT_EQUAL(server.world.count(Counter::kConnections), 2U);
  EXPECT_EQUAL(server.world.count(Counter::kListenersPaused), 0U);
  server.clients[0]->close();
  EXPECT(server.world.reaches(Counter::kConnections, 1));
  server.connect(2);
  EXPECT(server.world.reaches(Counter::kAcceptedTotal, 3));
  EXPECT(server.world.reaches(Counter::kListenersPaused, 1));
}

TEST("a listener of a full worker resumes when the limit is raised") {
  Server server;
  server.fill(2, 5);
  server.world.admission.set_limits(4, 0);
  EXPECT(server.world.reaches(Counter::kAcceptedTotal, 4));
  server.world.admission.set_limits(100, 0);
  EXPECT(server.world.reaches(Counter::kAcceptedTotal, 5));
  EXPECT(server.world.reaches(Counter::kListenersPaused, 0));
}

TEST("a listener of a worker without room resumes when the manager gives it room") {
  Server server;
  server.world.block->allowance = 2;
  server.listener.watch(true);
  server.connect(5);
  EXPECT(server.world.reaches(Counter::kListenersPaused, 1));
  EXPECT_EQUAL(server.world.count(Counter::kAcceptedTotal), 2U);
  EXPECT(server.world.admission.take_report());
  server.world.block->allowance = 4;
  server.world.admission.set_server_full(false);
  EXPECT(server.world.reaches(Counter::kAcceptedTotal, 4));
  server.world.admission.set_server_full(true);
  EXPECT(server.world.reaches(Counter::kRejectedFullTotal, 1));
}

TEST("a listener keeps to the accept rate, and accepts every peer") {
  Server server;
  server.world.admission.set_limits(100, 50'000);
  server.listener.watch(true);
  server.connect(20);
  const uint64_t start_ns = sys::monotonic_ns();
  EXPECT(server.world.reaches(Counter::kAcceptedTotal, 20));
  // Five at once and fifteen more at 50 a second.
  EXPECT(sys::monotonic_ns() - start_ns >= 280'000'000);
  EXPECT(server.world.count(Counter::kAcceptPausedTotal) > 0);
}

TEST("a listener measures how long the oldest peer of a full batch was queued") {
  Server server;
  server.accept(1);
  server.connect(1);
  EXPECT(server.world.reaches(Counter::kAcceptedTotal, 2));
  EXPECT(!server.accept_pressure());
  server.connect(3);
  ::usleep(150'000);
  EXPECT(server.world.reaches(Counter::kAcceptedTotal, 5));
  EXPECT(!server.accept_pressure());
  unit::run_for(server.world.loop.get(), 30);
  server.connect(20);
  ::usleep(150'000);
  EXPECT(server.world.reaches(Counter::kAcceptedTotal, 25));
  EXPECT(server.accept_pressure());
}

TEST("a listener that was paused does not measure how long peers were queued") {
  Server server;
  server.world.admission.set_limits(25, 0);
  server.accept(25);
  server.connect(20);
  EXPECT(server.world.reaches(Counter::kListenersPaused, 1));
  ::usleep(150'000);
  server.world.admission.set_limits(100, 0);
  EXPECT(server.world.reaches(Counter::kAcceptedTotal, 45));
  EXPECT(server.world.count(Counter::kAcceptPausedTotal) > 0);
  EXPECT(!server.accept_pressure());
}

TEST("a listener without descriptors rejects peers, pauses, and resumes when one is free") {
  Server server;
  server.accept(4);
  server.connect(bounds::kShedBatchMax + 3);
  {
    const FewDescriptors none(0);
    EXPECT(server.world.reaches(Counter::kAcceptFailedEmfileTotal, 1));
    EXPECT_EQUAL(server.world.count(Counter::kListenersPaused), 1U);
    // The spare could not be opened again below the limit, so one peer was rejected.
    EXPECT_EQUAL(server.world.count(Counter::kRejectedDescriptorsTotal), 0U);
  }
  server.world.admission.restore_spare();
  EXPECT(server.world.reaches(Counter::kListenersPaused, 0));
  EXPECT(server.world.reaches(Counter::kAcceptedTotal, 4 + bounds::kShedBatchMax + 3));
}

TEST("a listener sheds one batch with the spare descriptor, then pauses") {
  Server server;
  server.listener.watch(true);
  server.connect(bounds::kShedBatchMax + 5);
  // At this limit the spare is the highest descriptor allowed.
  const int highest = sys::open_spare();
  sys::close(highest);
  {
    const FewDescriptors few(static_cast<rlim_t>(highest));
    // The spare is below the limit: closing it frees the only descriptor for accept.
    EXPECT(server.world.reaches(Counter::kAcceptFailedEmfileTotal, 1));
    EXPECT_EQUAL(server.world.count(Counter::kRejectedDescriptorsTotal),
                 static_cast<uint64_t>(bounds::kShedBatchMax));
    EXPECT_EQUAL(server.reset_clients(), static_cast<size_t>(bounds::kShedBatchMax));
  }
  EXPECT(server.world.reaches(Counter::kAcceptedTotal, 5));
}

TEST("a draining listener accepts the queue and then rejects") {
  Server server;
  server.listener.watch(true);
  server.connect(300);
  server.listener.drain();
  EXPECT_EQUAL(server.world.count(Counter::kAcceptedTotal), 300U);
  EXPECT(!Client(server.socket.port()).is_connected());
  server.listener.watch(true);
  server.listener.drain();
  unit::run_for(server.world.loop.get(), 20);
  EXPECT_EQUAL(server.world.count(Counter::kAcceptedTotal), 300U);
}

TEST("a draining listener leaves the queue of an inherited socket to its successor") {
  Server server(Ownership::kInherited);
  server.accept(1);
  server.connect(3);
  server.listener.drain();
  unit::run_for(server.world.loop.get(), 20);
  EXPECT_EQUAL(server.world.count(Counter::kAcceptedTotal), 1U);
  Listener successor(server.parts(), server.socket.fd(), Ownership::kInherited, 0);
  successor.watch(true);
  EXPECT(server.world.reaches(Counter::kAcceptedTotal, 4));
  EXPECT_EQUAL(server.reset_clients(), 0U);
}

TEST("a draining listener does not shut down a shared socket") {
  Server server(Ownership::kShared);
  server.listener.watch(true);
  server.listener.drain();
  server.connect(1);
  EXPECT(server.clients[0]->is_connected());
  unit::run_for(server.world.loop.get(), 20);
  EXPECT_EQUAL(server.world.count(Counter::kAcceptedTotal), 0U);
}

TEST("a paused listener that drains is not counted as paused") {
  Server server;
  server.fill(1, 3);
  server.listener.drain();
  EXPECT_EQUAL(server.world.count(Counter::kListenersPaused), 0U);
  server.clients[0]->close();
  EXPECT(server.world.reaches(Counter::kConnections, 0));
  unit::run_for(server.world.loop.get(), 20);
  EXPECT_EQUAL(server.world.count(Counter::kAcceptedTotal), 1U);
}

TEST("a listener whose socket another process shut down ends without an error") {
  Server server;
  server.listener.watch(true);
  sys::shut_down(server.socket.fd());
  unit::run_for(server.world.loop.get(), 50);
  EXPECT_EQUAL(server.world.count(Counter::kAcceptFailedTotal), 0U);
  EXPECT_EQUAL(server.world.count(Counter::kListenersPaused), 0U);
}

TEST("a listener that is turned off while paused stays off when there is room") {
  Server server;
  server.fill(1, 2);
  server.listener.watch(false);
  server.clients[0]->close();
  EXPECT(server.world.reaches(Counter::kListenersPaused, 0));
  unit::run_for(server.world.loop.get(), 20);
  EXPECT_EQUAL(server.world.count(Counter::kAcceptedTotal), 1U);
  server.listener.watch(true);
  EXPECT(server.world.reaches(Counter::kAcceptedTotal, 2));
}

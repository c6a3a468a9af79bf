// See sealed_world.h.
#include "tls/sealed_world.h"

using namespace megacomet;

namespace {

/// As unit::World has.
constexpr uint32_t kCapacity = 4096;

}  // namespace

SealedWorld::SealedWorld(uint32_t tls12_connections_max) {
  transport->services().rejections = &rejections;
  transport->input_budget().set_bytes_max(size_t{1} << 20U);
  frame::Tls command;
  command.tls12_connections_max = tls12_connections_max;
  command.chains = {test_certificate().chain};
  command.keys = {test_certificate().key};
  EXPECT(transport->tls().configure(command).empty());
  EXPECT(transport->tls().reserve(kCapacity));
}

bool SealedWorld::is_idle() {
  const Connection* connection = only();
  return connection != nullptr && connection->state == ConnectionState::kOpen &&
         connection->is_sealed && count(Counter::kSessions) == 0 &&
         count(Counter::kTlsHandshakes) == 0 && count(Counter::kSendQueueBytes) == 0;
}

SealedPeer::SealedPeer(SealedWorld* world, const TlsClient::Options& options)
    : world(world), tls(options), socket(world->register_one(world->listener, true)) {}

void SealedPeer::exchange() {
  socket->write(tls.sent());
  ev_run(world->loop.get(), EVRUN_NOWAIT);
  tls.receive(socket->read_now());
}

bool SealedPeer::shakes_hands() {
  return unit::run_until(world->loop.get(), [this] {
    const bool is_done = tls.shake();
    exchange();
    return is_done;
  });
}

std::string SealedPeer::read(size_t size) {
  std::string data;
  unit::run_until(world->loop.get(), [&] {
    exchange();
    data += tls.read();
    return data.size() >= size;
  });
  return data;
}

std::string SealedPeer::read_to_end() {
  std::string data;
  EXPECT(unit::run_until(world->loop.get(), [&] {
    ev_run(world->loop.get(), EVRUN_NOWAIT);
    tls.receive(socket->read_now());
    data += tls.read();
    return socket->has_end();
  }));
  return data;
}

// The manager's part and the accepting of clients. See comet_world.h.
#include "support/comet_world.h"

#include <utility>

#include "os/sys.h"
#include "worker/protocol_table.h"

namespace unit {

namespace {

constexpr uint32_t kCapacity = 4096;

}  // namespace

CometWorld::CometWorld() {
  block->allowance = kCapacity;
  counters.attach(block.get());
  admission.attach(block.get());
  admission.set_limits(kCapacity, 0);
  transport = std::make_unique<Transport>(loop.get(), &admission, &counters, kProtocols);
  EXPECT(transport->reserve(kCapacity));
  hub = std::make_unique<Hub>(transport.get(), &control, &counters, &limits);
  frame::Comet rules;
  rules.epoch = 1;
  rules.handshake_timeout_s = rules.write_timeout_s = 10;
  rules.keep_alive_timeout_s = 10;
  rules.http_head_bytes_max = 16'384;
  rules.http_fields_max = 64;
  rules.flags = comet_flag::kMailboxes | comet_flag::kWebSocketCompression;
  rules.heartbeat_s = 25;
  rules.poll_timeout_s = 30;
  rules.retry_ms = 1000;
  rules.message_bytes_max = 65'536;
  rules.channels_per_connection_max = 10;
  rules.send_queue_bytes_max = 1U << 20U;
  rules.worker_send_queue_bytes_max = rules.worker_input_bytes_max = 1U << 24U;
  hub->configure(std::move(rules));
  EXPECT(control.start());
}

void CometWorld::register_fd(const Client& client, const std::string& request) {
  if (!request.empty()) client.write(request);
  EXPECT(run_until(loop.get(), [&] { return accept(); }));
}

bool CometWorld::accept() {
  const sys::Accepted accepted = sys::accept(socket.fd());
  if (accepted.status != sys::AcceptStatus::kAccepted || !admission.enter()) return false;
  transport->register_fd(accepted.fd, static_cast<uint8_t>(ProtocolId::kHttp));
  return true;
}

void CometWorld::answer_replays() {
  for (const frame::ReplayRequest& request : sent<frame::ReplayRequest>()) {
    frame::ReplayPage page;
    page.fd = request.fd;
    page.generation = request.generation;
    page.flags = replay_page_flag::kLast;
    page.head = number_;
    EXPECT(hub->on_page(page));
  }
}

void CometWorld::publish(const std::string& channel, const std::string& data, bool pumps) {
  frame::Publish message;
  message.number = ++number_;
  message.channel = channel;
  message.data.bytes = data;
  hub->on_publish(std::move(message));
  while (pumps && hub->is_pumping()) static_cast<void>(hub->pump(UINT64_MAX));
}

}  // namespace unit

// Connecting the parts of the room. See hub.h.
#include "hub/hub.h"

#include <algorithm>
#include <utility>

#include "base/bounds.h"
#include "os/sys.h"
#include "pubsub/message_codec.h"

namespace megacomet {

Hub::Hub(Transport* transport, Control* control, Counters* counters, ClientLimits* limits)
    : transport_(transport),
      control_(control),
      counters_(counters),
      delivery_({&transport->connections(),
                 &channels_,
                 &fanout_,
                 counters,
                 &sequence_,
                 &window_,
                 &transport->services(),
                 transport->protocols()}),
      fanout_(&channels_, &delivery_),
      window_(&transport->connections(), &fanout_),
      presence_({&channels_,
                 &namespaces_,
                 &fanout_,
                 &transport->connections(),
                 control,
                 counters,
                 &access_}),
      mailboxes_(&transport->connections(), control),
      subscriptions_({&transport->connections(),
                      &channels_,
                      &fanout_,
                      &presence_,
                      &transport->sessions(),
                      counters,
                      &sequence_}),
      recovery_({&transport->connections(),
                 &channels_,
                 &subscriptions_,
                 &presence_,
                 &transport->sessions(),
                 counters,
                 &sequence_,
                 &window_,
                 this,
                 &transport->services(),
                 transport->protocols()}),
      crowd_(&transport->connections()),
      kicks_({&transport->connections(), &channels_, transport, &crowd_}),
      access_({&channels_,
               &namespaces_,
               &rules_,
               transport,
               control,
               &transport->connections(),
               counters,
               &random_,
               limits,
               &crowd_}),
      requests_({&transport->connections(),
                 control,
                 counters,
                 &transport->services(),
                 transport->protocols()}),
      user_channels_({&transport->connections(),
                      &channels_,
                      &access_,
                      transport,
                      &transport->services(),
                      transport->protocols(),
                      &crowd_}),
      hooks_({&transport->connections(),
              control,
              counters,
              &transport->services(),
              transport->protocols()}),
      publishing_({&transport->connections(),
                   control,
                   counters,
                   limits,
                   &access_,
                   &transport->services(),
                   transport->protocols()}),
      random_(sys::monotonic_ns()),
      rejections_(control, counters),
      limits_(limits) {
  Services& services = transport->services();
  services.rules = &rules_;
  services.subscriptions = this;
  services.publishing = &publishing_;
  services.requests = &requests_;
  services.mail = &mailboxes_;
  services.access = &access_;
  services.deflate = &deflate_;
  services.random = &random_;
  services.rejections = &rejections_;
  services.limits = limits;
  services.commands = &command_rates_;
  transport->set_observer(this);
}

void Hub::configure(frame::Comet rules) {
  rules_ = std::move(rules);
  is_on_ = true;
  set_epoch(rules_.epoch);
  presence_.set_channel_retention(rules_.channel_retention_s);
  publishing_.set_client_rate(rules_.client_publish_rate);
  recovery_.set_send_queue_bytes_max(rules_.send_queue_bytes_max);
  transport_->input_budget().set_bytes_max(rules_.worker_input_bytes_max);
  transport_->sender().set_timeouts({rules_.write_timeout_s, rules_.heartbeat_s});
  // The end of a message, and one more read.
  const size_t unread_bytes_max = size_t{rules_.message_bytes_max} + bounds::kReadBytesMax;
  transport_->sender().limits().set(
      {rules_.send_queue_bytes_max, unread_bytes_max, rules_.worker_send_queue_bytes_max});
}

void Hub::on_publish(frame::Publish order) {
  delivery_.publish(message_of(std::move(order), rules_.epoch));
}

void Hub::on_lost(const frame::Lost& order) {
  // The caches have messages before the gap, with cursors of the old epoch.
  channels_.skip_all(std::max(order.to, sequence_.head));
  set_epoch(order.epoch);
  const uint64_t subscribers = uint64_t{transport_->connections().size()} * workers_;
  delivery_.report_loss(order.to,
                        static_cast<uint32_t>(subscribers * 1000 / bounds::kLossNoticesPerSecond));
}

bool Hub::on_page(const frame::ReplayPage& page) {
  const bool is_last = (page.flags & replay_page_flag::kLast) != 0;
  const bool is_lost = (page.flags & replay_page_flag::kLost) != 0;
  ReplayPart part{{}, page.head, is_last, is_lost};
  if (!messages_of(page.messages, rules_.epoch, &part.messages)) return false;
  recovery_.on_page({page.fd, page.generation}, part);
  return true;
}

void Hub::request_replay(const frame::ReplayRequest& request) {
  // The manager must know of the channels first: it sends them every message after its answer.
  presence_.send_counts();
  control_->send(request);
}

void Hub::on_lease(frame::MailboxLease lease) {
  Connection* connection = mailboxes_.find({lease.fd, lease.generation});
  // The poll ended, and the manager was sent its nack.
  if (connection == nullptr) return;
  const Ref<Message> message = make_ref<Message>();
  message->data = std::move(lease.data.bytes);
  delivery_.send(connection, *message);
}

void Hub::on_hooks(frame::Hooks rules) {
  hooks_.configure(std::move(rules));
  transport_->services().hooks = &hooks_;
  access_.set_hook();
}

void Hub::on_revoke(const frame::Revoke& order) {
  for (auto& [channel, names] : access_.revoke(order)) {
    user_channels_.revoke(channel, std::move(names));
  }
}

void Hub::on_kick(const frame::Kick& order) {
  kicks_.kick(order.channel, order.reason);
}

void Hub::on_disconnect(const frame::Disconnect& order) {
  const bool is_ended = kicks_.kick({order.fd, order.generation}, order.reason);
  control_->send(frame::Disconnected{order.request, is_ended ? 1U : 0U});
}

void Hub::unsubscribe(Connection* connection) {
  access_.forget_channels(*connection);
  subscriptions_.leave_all(connection);
  recovery_.cancel(connection);
}

void Hub::on_close(Connection* connection) {
  mailboxes_.on_close(connection);
  unsubscribe(connection);
  access_.leave(connection);
  limits_->forget_address(*connection);
}

void Hub::tick(uint16_t now) {
  presence_.tick(now);
  access_.tick();
  requests_.tick(now);
  hooks_.tick(now);
  deflate_.trim();
  limits_->trim();
  counters_->set(Counter::kChannels, channels_.size());
}

}  // namespace megacomet

// The subscriber load: the requests of subscribers of a comet server, and the meaning of the
// responses. Pure: the caller moves the bytes and closes the connections. No socket, no clock.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dialer/comet_reader.h"
#include "dialer/delivery_times.h"
#include "dialer/dial_request.h"
#include "ipc/load_frames.h"
#include "os/slab.h"

namespace megacomet {

/// The next step of the caller after it passed received bytes.
struct SubscriberStep {
  enum class Action : uint8_t {
    /// Call next() again: the input may have more.
    kContinue,
    /// All input is read.
    kWait,
    /// Send `text`, then call next() again.
    kSend,
    /// Send next_poll() after a pause, and call next() again now.
    kRest,
    /// Close the connection. `cause` is an errno, kHttpFailure and a status, or 0 if the server
    /// closed it.
    kClose,
  };
  Action action;
  /// The server has answered the subscription. Do this first.
  bool is_open = false;
  int cause = 0;
  const std::string* text = nullptr;
};

class SubscriberLoad {
 public:
  /// Connections that are opened later subscribe. False if the order is not valid.
  [[nodiscard]] bool configure(const frame::Subscribe& order) { return request_.set(order); }
  /// Whether connections subscribe at all.
  [[nodiscard]] bool is_on() const { return request_.is_on(); }
  [[nodiscard]] bool is_poll() const { return request_.transport() == DialTransport::kPoll; }
  /// Reserves memory for `capacity` descriptors and `subscribers`. False if there is none.
  [[nodiscard]] bool reserve(uint32_t capacity, uint32_t subscribers);

  /// Subscriber `index` connects with descriptor `fd`, or its connection closes.
  void open(int fd, uint32_t index);
  void close(int fd);
  [[nodiscard]] uint32_t index(int fd) { return scans_.at(fd)->subscriber; }

  /// From now on each subscriber that opens resumes after its last message. `epoch` is that of the
  /// server's cursors.
  void reconnect(uint64_t epoch);
  [[nodiscard]] bool is_reconnecting() const { return is_reconnecting_; }

  /// The request that subscribes. Valid until the next call.
  [[nodiscard]] const std::string& first_request(int fd);
  /// Whether the subscription is open once the first request is sent: the server answers a poll
  /// that has a cursor only with the next message.
  [[nodiscard]] bool is_open_after_request(int fd);

  /// The poll after the last answer. Valid until the next call.
  [[nodiscard]] const std::string& next_poll(int fd);

  /// Reads up to the next event of the input. `is_subscribing`: the subscription is not answered.
  [[nodiscard]] SubscriberStep next(int fd,
                                    CometInput* input,
                                    bool is_subscribing,
                                    uint64_t now_ns);

  [[nodiscard]] uint64_t messages() const { return messages_; }
  [[nodiscard]] uint64_t gaps() const { return gaps_; }
  [[nodiscard]] DeliveryTimes& delivery_times() { return delivery_times_; }

 private:
  [[nodiscard]] bool resumes(uint32_t index) const {
    return is_reconnecting_ && numbers_[index] != 0;
  }
  SubscriberStep on_head(const CometScan& scan, bool is_subscribing);
  SubscriberStep on_message(const CometScan& scan, bool is_subscribing, uint64_t now_ns);
  SubscriberStep on_position(const CometScan& scan, bool is_subscribing);
  SubscriberStep on_gap(const CometScan& scan, bool is_subscribing);
  SubscriberStep on_answer(const CometScan& scan, bool is_subscribing);

  DialRequest request_;
  /// By descriptor.
  Slab<CometScan> scans_;
  /// The number of each subscriber's last message, or 0; by index, because it outlives connections.
  std::vector<uint64_t> numbers_;
  /// Of all cursors, because they come from one server.
  uint64_t epoch_ = 0;
  bool is_reconnecting_ = false;
  uint64_t messages_ = 0;
  uint64_t gaps_ = 0;
  DeliveryTimes delivery_times_;
};

}  // namespace megacomet

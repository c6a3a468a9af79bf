// Messages of the echo load. See echo_load.h.
#include "dialer/echo_load.h"

#include <algorithm>

#include "base/bounds.h"

namespace megacomet {

namespace {

constexpr size_t kVerifyBytes = 1;

}  // namespace

void EchoLoad::begin_verify() {
  is_verifying_ = true;
  ends_ns_ = 0;
  message_.assign(kVerifyBytes, 0);
}

void EchoLoad::begin_exchange(uint32_t message_bytes, uint64_t ends_ns) {
  is_verifying_ = false;
  ends_ns_ = ends_ns;
  message_.resize(std::min(message_bytes, bounds::kLoadMessageBytesMax));
  for (size_t index = 0; index < message_.size(); ++index) {
    message_[index] = static_cast<uint8_t>(index * 31 + (index >> 8));
  }
}

bool EchoLoad::is_full() const {
  return waiting_ >= bounds::kVerifyInFlightMax;
}

void EchoLoad::begin_message(Dialed* dialed, uint32_t now_us) {
  dialed->state = DialState::kAwaitingEcho;
  dialed->began_us = now_us;
  dialed->sent = dialed->received = 0;
  ++waiting_;
}

std::string_view EchoLoad::unsent(const Dialed& dialed) {
  if (is_verifying_) message_[0] = byte_at(dialed, 0);
  return {reinterpret_cast<const char*>(message_.data()) + dialed.sent,
          message_.size() - dialed.sent};
}

void EchoLoad::add_sent(Dialed* dialed, size_t bytes) {
  dialed->sent += static_cast<uint32_t>(bytes);
}

uint8_t EchoLoad::byte_at(const Dialed& dialed, uint32_t offset) const {
  return is_verifying_ ? static_cast<uint8_t>(dialed.watcher.fd * 167) : message_[offset];
}

EchoResult EchoLoad::add_received(Dialed* dialed, const uint8_t* bytes, size_t size) {
  const bool has_message = dialed->state == DialState::kAwaitingEcho;
  const size_t expected = has_message ? dialed->sent - dialed->received : 0;
  if (size > expected) return EchoResult::kWrong;
  for (uint32_t index = 0; index < size; ++index) {
    if (bytes[index] != byte_at(*dialed, dialed->received + index)) return EchoResult::kWrong;
  }
  dialed->received += static_cast<uint32_t>(size);
  if (dialed->received < message_.size()) return EchoResult::kPartial;
  --waiting_;
  dialed->state = DialState::kIdle;
  return EchoResult::kComplete;
}

}  // namespace megacomet

// The TLS of one worker's connections: handshakes under way, and the state of each connection whose
// handshake is done; with TLS 1.2 that is an object of OpenSSL. Off, without memory, in a server
// without TLS.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include <sys/uio.h>

#include "base/bounds.h"
#include "base/ref.h"
#include "connection/connection.h"
#include "ipc/frames.h"
#include "ipc/segment.h"
#include "os/slab.h"
#include "os/sys.h"
#include "tls/certificates.h"
#include "tls/handshake.h"
#include "tls/tls_exchange.h"
#include "tls/tls_records.h"

namespace megacomet {

class TlsConnections {
 public:
  using SendCall = sys::IoResult (*)(int fd, const void* bytes, size_t size);

  explicit TlsConnections(Counters* counters) : counters_(counters) {}
  TlsConnections(const TlsConnections&) = delete;
  TlsConnections& operator=(const TlsConnections&) = delete;

  /// Turns TLS on, or sets the certificates of later handshakes. Returns "" or the reason why this
  /// process or OpenSSL cannot.
  [[nodiscard]] std::string configure(const frame::Tls& command);
  [[nodiscard]] bool is_on() const { return static_cast<bool>(certificates_); }

  /// Whether each client has a certificate.
  [[nodiscard]] bool demands_certificates() const { return demands_certificates_; }

  /// Sets the keys of session tickets, before the first certificates and whenever they change.
  /// Returns "" or the reason why they cannot be used. Erases the keys of the command.
  [[nodiscard]] std::string set_ticket_keys(frame::TlsTickets* command);

  /// Reserves a state for each descriptor below `capacity`, if TLS is on. False if the kernel has
  /// no address space.
  [[nodiscard]] bool reserve(uint32_t capacity);

  /// The peer of an accepted descriptor begins with a handshake. Costs memory from its first byte.
  void expect(int fd) { handshakes_[fd] = {}; }
  [[nodiscard]] bool is_expected(const Connection& connection) const {
    return handshakes_.count(connection.fd()) != 0;
  }

  [[nodiscard]] bool is_shaking(const Connection& connection) const {
    const auto found = handshakes_.find(connection.fd());
    return found != handshakes_.end() && found->second.handshake != nullptr;
  }

  /// Whether the peer may begin its handshake, or has begun it: each takes up to 62 kB of memory.
  /// If not, take_waiting() gives its name later.
  [[nodiscard]] bool may_shake(const Connection& connection);
  /// The peer that has waited for longest, if there is room for its handshake.
  [[nodiscard]] bool take_waiting(ConnectionName* name);
  /// Keeps room for the handshake of a peer that waited: others would begin before it is read.
  void keep_room(const Connection& connection);

  struct Step {
    HandshakeStatus status;
    /// To be sent as it is, also after a failure.
    std::string output;
    /// After kDone: sealed bytes of the peer that came with its last message.
    std::string rest;
    /// After kDone, where clients have certificates.
    ClientCertificate certificate;
  };
  /// Takes bytes of a peer whose handshake goes on. After kDone its bytes are records, and
  /// `is_sealed` is set.
  Step shake(Connection* connection, const uint8_t* bytes, size_t size);

  // For a sealed connection.

  /// Opens the whole records at the front of `bytes`, in place.
  TlsInput read(const Connection& connection, uint8_t* bytes, size_t size);
  /// Seals the parts record by record and sends them, until the kernel takes no more. The result
  /// has the bytes of the parts that were sealed. `rest` gets sealed bytes that the kernel did not
  /// take: they must be sent before anything else.
  sys::IoResult send(
      const Connection& connection, iovec* parts, size_t count, SendCall call, std::string* rest);
  /// Sends an alert if the kernel takes it at once.
  void send_alert(const Connection& connection, TlsAlert alert, SendCall call);

  /// For a peer that is rejected before it gets a connection. Needs is_on().
  [[nodiscard]] std::unique_ptr<TlsExchange> make_exchange() {
    return std::make_unique<TlsExchange>(certificates_, records_.get());
  }

  /// The connection closes: drops its handshake, or erases its secrets.
  void forget(Connection* connection);

  /// Once a second, with the worker's clock.
  void tick(uint16_t now);

  void trim() { states_.trim(); }

 private:
  enum class Room : uint8_t { kNone, kWaiting, kTaken };
  struct Shaking {
    /// Null until the first byte of the peer.
    std::unique_ptr<TlsHandshake> handshake;
    /// kTaken if it is counted in `rooms_`.
    Room room = Room::kNone;
    /// It is counted as a connection of TLS 1.2.
    bool is_tls12 = false;
  };
  using Handshakes = std::unordered_map<int, Shaking>;

  HandshakeStatus feed(Shaking* shaking, const uint8_t* bytes, size_t size);
  [[nodiscard]] bool settle(Shaking* shaking, int fd);
  void take_room(Shaking* shaking);
  void end(Handshakes::iterator found);
  /// Each takes up to 62 kB.
  [[nodiscard]] size_t objects() const { return rooms_ + tls12_sessions_.size(); }
  [[nodiscard]] SSL* session_of(int fd, const TlsState& state) {
    return state.suite == TlsSuite::kNone ? tls12_sessions_.at(fd).get() : nullptr;
  }

  Counters* counters_;
  std::unique_ptr<TlsRecords> records_;
  /// Null if no client gets a ticket. The certificates refer to it.
  std::unique_ptr<TicketKeys> ticket_keys_;
  Ref<TlsCertificates> certificates_;
  Slab<TlsState> states_;
  /// Of the connections whose TlsState has no suite.
  std::unordered_map<int, SslOwner> tls12_sessions_;
  uint32_t tls12_connections_max_ = 0;
  Handshakes handshakes_;
  /// Handshakes that have begun, or waited and may begin.
  size_t rooms_ = 0;
  /// The most objects of OpenSSL since memory was returned to the kernel.
  size_t objects_peak_ = 0;
  std::deque<ConnectionName> waiting_;
  bool demands_certificates_ = false;
  uint8_t minute_ = 0;
  /// One record, and a KeyUpdate before it; or the records of TLS 1.2 with as much content.
  std::array<uint8_t, TlsRecords::kSealedBytesMax> out_;
};

}  // namespace megacomet

// Loops, sockets and parts for the tests. See fixture.h.
#include "support/fixture.h"

#include <array>
#include <cerrno>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/sys.h"
#include "support/unit.h"
#include "worker/protocol_table.h"

namespace unit {

namespace {

constexpr uint64_t kNsPerMs = 1'000'000;
constexpr uint64_t kPatienceMs = 5000;
constexpr uint32_t kCapacity = 4096;

}  // namespace

bool run_until(struct ev_loop* loop, const std::function<bool()>& holds) {
  const uint64_t end_ns = sys::monotonic_ns() + kPatienceMs * kNsPerMs;
  while (!holds()) {
    if (sys::monotonic_ns() > end_ns) return false;
    ev_run(loop, EVRUN_NOWAIT);
    ::usleep(200);
  }
  return true;
}

void run_for(struct ev_loop* loop, uint32_t ms) {
  const uint64_t end_ns = sys::monotonic_ns() + ms * kNsPerMs;
  run_until(loop, [&] { return sys::monotonic_ns() >= end_ns; });
}

ListeningSocket::ListeningSocket(uint16_t port, bool joins, uint32_t backlog) : fd_(-1) {
  listening::Options options;
  options.host = "127.0.0.1";
  options.port = port;
  options.joins = joins;
  options.backlog = backlog;
  fd_ = listening::open(options).fd;
  EXPECT(fd_ >= 0);
  EXPECT_EQUAL(listening::listen(fd_, backlog), 0);
}

ListeningSocket::~ListeningSocket() {
  sys::close(fd_);
}

Client::Client(uint16_t port)
    : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), is_connected_(false) {
  sockaddr_in target{};
  target.sin_family = AF_INET;
  target.sin_port = htons(port);
  target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  is_connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&target), sizeof target) == 0;
}

void Client::close() {
  if (fd_ >= 0) sys::close(fd_);
  fd_ = -1;
}

void Client::reset() {
  sys::reset(fd_);
  fd_ = -1;
}

void Client::half_close() const {
  ::shutdown(fd_, SHUT_WR);
}

void Client::write(const std::string& bytes) const {
  EXPECT_EQUAL(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL),
               static_cast<ssize_t>(bytes.size()));
}

std::string Client::read_now() const {
  std::array<char, 65536> buffer;
  const ssize_t size = ::recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
  return size > 0 ? std::string(buffer.data(), static_cast<size_t>(size)) : std::string();
}

bool Client::has_end() const {
  char byte = 0;
  return ::recv(fd_, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

bool Client::is_reset() const {
  char byte = 0;
  return ::recv(fd_, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == ECONNRESET;
}

World::World() {
  block->allowance = kCapacity;
  counters.attach(block.get());
  admission.attach(block.get());
  admission.set_limits(kCapacity, 0);
  admission.restore_spare();
  transport = std::make_unique<Transport>(loop.get(), &admission, &counters, kProtocols);
  transport->set_observer(&observer);
  EXPECT(transport->reserve(kCapacity));
}

bool World::reaches(Counter counter, uint64_t value) {
  const bool has = run_until(loop.get(), [&] { return count(counter) == value; });
  return EXPECT_EQUAL(count(counter), value) && has;
}

std::unique_ptr<Client> World::register_one(const ListeningSocket& listener, bool has_tls) {
  auto client = std::make_unique<Client>(listener.port());
  const sys::Accepted accepted = sys::accept(listener.fd());
  if (EXPECT(accepted.status == sys::AcceptStatus::kAccepted) && EXPECT(admission.enter())) {
    transport->register_fd(accepted.fd, 0, 0, has_tls ? listener_flag::kTls : 0);
  }
  return client;
}

Connection* World::only() {
  Connection* found = nullptr;
  Slab<Connection>& connections = transport->connections();
  connections.visit(0, connections.capacity(), [&](Connection& connection) {
    if (connection.state != ConnectionState::kFree) found = &connection;
    return true;
  });
  return found;
}

ControlPeer::ControlPeer() {
  int ends[2];
  EXPECT_EQUAL(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  ::dup2(ends[0], Control::kDescriptor);
  ::close(ends[0]);
  fd_ = ends[1];
}

ControlPeer::~ControlPeer() {
  hang_up();
  // Replaced, not closed, so that no other descriptor gets the number.
  const int holder = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  ::dup2(holder, Control::kDescriptor);
  ::close(holder);
}

void ControlPeer::write(const std::vector<uint8_t>& bytes) const {
  EXPECT_EQUAL(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL),
               static_cast<ssize_t>(bytes.size()));
}

void ControlPeer::receive(const std::function<void(const FrameView&)>& each) {
  std::array<uint8_t, 65536> buffer;
  for (;;) {
    const ssize_t size = ::recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size <= 0) break;
    reader_.feed(buffer.data(), static_cast<size_t>(size));
    FrameView view{};
    while (reader_.next(&view)) each(view);
  }
  EXPECT(!reader_.is_broken());
}

void ControlPeer::hang_up() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

}  // namespace unit

// Tests of the manager's sockets on loopback: binding, inherited options, steering by weight.
#include "addon/listening.h"

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>
#include <vector>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "os/sys.h"
#include "support/fixture.h"
#include "support/unit.h"

using namespace megacomet;
using unit::ListeningSocket;

namespace {

using Group = std::vector<std::unique_ptr<ListeningSocket>>;

Group make_group(size_t size) {
  Group group;
  group.push_back(std::make_unique<ListeningSocket>());
  const uint16_t port = group[0]->port();
  while (group.size() < size) group.push_back(std::make_unique<ListeningSocket>(port, true));
  return group;
}

/// Connects `count` times, and counts the connections of each socket of the group.
std::vector<uint32_t> spread(const Group& group, uint32_t count) {
  const auto take = [&](std::vector<uint32_t>* taken) {
    for (size_t index = 0; index < group.size(); ++index) {
      for (;;) {
        const sys::Accepted accepted = sys::accept(group[index]->fd());
        if (accepted.status != sys::AcceptStatus::kAccepted) break;
        sys::close(accepted.fd);
        ++(*taken)[index];
      }
    }
  };
  std::vector<uint32_t> taken(group.size(), 0);
  for (uint32_t done = 0; done < count; ++done) {
    unit::Client client(group[0]->port());
    EXPECT(client.is_connected());
    // A reset leaves no port in TIME_WAIT. Queued connections stay queued.
    client.reset();
    if (done % 100 == 99) take(&taken);
  }
  take(&taken);
  return taken;
}

bool is_near(uint32_t found, uint32_t wanted) {
  // Five standard deviations of 2,000 draws are at most 112.
  return found + 112 >= wanted && found <= wanted + 112;
}

int option_of(int fd, int level, int option) {
  int value = -1;
  socklen_t size = sizeof value;
  ::getsockopt(fd, level, option, &value, &size);
  return value;
}

}  // namespace

TEST("steering by the weights 2, 1, 0, 1 spreads 2,000 connections in these proportions") {
  const Group group = make_group(4);
  EXPECT_EQUAL(listening::steer(group[0]->fd(), {2, 1, 0, 1}), 0);
  const std::vector<uint32_t> taken = spread(group, 2000);
  EXPECT(is_near(taken[0], 1000));
  EXPECT(is_near(taken[1], 500));
  EXPECT_EQUAL(taken[2], 0U);
  EXPECT(is_near(taken[3], 500));
  EXPECT_EQUAL(taken[0] + taken[1] + taken[3], 2000U);
}

TEST("steering by a single weight sends every connection there, and can be changed and ended") {
  const Group group = make_group(3);
  EXPECT_EQUAL(listening::steer(group[0]->fd(), {0, 0, 7}), 0);
  EXPECT_EQUAL(spread(group, 200)[2], 200U);
  EXPECT_EQUAL(listening::steer(group[0]->fd(), {1, 0, 0}), 0);
  EXPECT_EQUAL(spread(group, 200)[0], 200U);
  EXPECT_EQUAL(listening::stop_steering(group[0]->fd()), 0);
  for (const uint32_t count : spread(group, 300)) EXPECT(count > 30);
  EXPECT_EQUAL(listening::stop_steering(group[0]->fd()), 0);
}

TEST("steering by equal weights of the greatest value is even") {
  const Group group = make_group(3);
  EXPECT_EQUAL(listening::steer(group[0]->fd(), {UINT32_MAX, UINT32_MAX, UINT32_MAX}), 0);
  for (const uint32_t count : spread(group, 2000)) EXPECT(is_near(count, 667));
}

TEST("steering accepts weights for the maximum of slots, and rejects weights that are all 0") {
  const Group group = make_group(2);
  EXPECT_EQUAL(listening::steer(group[0]->fd(), std::vector<uint32_t>(bounds::kSlotsMax, 1)), 0);
  EXPECT_EQUAL(listening::steer(group[0]->fd(), {0, 0}), EINVAL);
  EXPECT_EQUAL(listening::steer(group[0]->fd(), {}), EINVAL);
}

TEST("a second server cannot bind an address, though its own listeners share it") {
  const Group group = make_group(2);
  listening::Options options;
  options.host = "127.0.0.1";
  options.port = group[0]->port();
  const listening::Opened opened = listening::open(options);
  EXPECT_EQUAL(opened.fd, -1);
  EXPECT_EQUAL(opened.error, EADDRINUSE);
  EXPECT(std::string(opened.call) == "bind");
}

TEST("the first listener of an address claims it, also before the others listen") {
  listening::Options options;
  options.host = "127.0.0.1";
  options.backlog = 10;
  const listening::Opened first = listening::open(options);
  if (!EXPECT_EQUAL(first.error, 0)) return;
  options.port = listening::port(first.fd);
  EXPECT(unit::Client(options.port).is_connected());
  EXPECT_EQUAL(listening::open(options).error, EADDRINUSE);
  // A listener that joins queues no peer before it listens.
  options.joins = true;
  const listening::Opened second = listening::open(options);
  EXPECT_EQUAL(second.error, 0);
  EXPECT_EQUAL(option_of(second.fd, SOL_SOCKET, SO_ACCEPTCONN), 0);
  EXPECT_EQUAL(listening::listen(second.fd, 10), 0);
  for (const int fd : {first.fd, second.fd}) listening::shut_down(fd);
  EXPECT(!unit::Client(options.port).is_connected());
  for (const int fd : {first.fd, second.fd}) sys::close(fd);
}

TEST("a folder is locked for one server at a time") {
  const int first = listening::lock_folder("/tmp");
  EXPECT(first >= 0);
  EXPECT_EQUAL(listening::lock_folder("/tmp"), -EAGAIN);
  sys::close(first);
  const int second = listening::lock_folder("/tmp");
  EXPECT(second >= 0);
  sys::close(second);
  EXPECT_EQUAL(listening::lock_folder("/nowhere"), -ENOENT);
}

TEST("an accepted socket has the options of its listener") {
  listening::Options options;
  options.host = "::1";
  options.v6_only = true;
  options.keepalive_s = 77;
  const listening::Opened opened = listening::open(options);
  if (!EXPECT_EQUAL(opened.error, 0)) return;
  EXPECT_EQUAL(option_of(opened.fd, IPPROTO_IPV6, IPV6_V6ONLY), 1);
  EXPECT_EQUAL(option_of(opened.fd, IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT_EQUAL(option_of(opened.fd, IPPROTO_TCP, TCP_KEEPIDLE), 77);
  sys::close(opened.fd);
  const ListeningSocket listener;
  const unit::Client client(listener.port());
  const sys::Accepted accepted = sys::accept(listener.fd());
  EXPECT_EQUAL(option_of(accepted.fd, IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT_EQUAL(option_of(accepted.fd, SOL_SOCKET, SO_KEEPALIVE), 0);
  sys::close(accepted.fd);
}

TEST("an accepted socket inherits the time to wait for acknowledgements") {
  listening::Options options;
  options.host = "127.0.0.1";
  options.keepalive_s = 77;
  options.user_timeout_ms = 4321;
  const listening::Opened opened = listening::open(options);
  if (!EXPECT_EQUAL(opened.error, 0)) return;
  EXPECT_EQUAL(listening::listen(opened.fd, 10), 0);
  const unit::Client peer(listening::port(opened.fd));
  const sys::Accepted accepted = sys::accept(opened.fd);
  EXPECT_EQUAL(option_of(accepted.fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 4321);
  EXPECT_EQUAL(option_of(accepted.fd, IPPROTO_TCP, TCP_KEEPIDLE), 77);
  sys::close(accepted.fd);
  sys::close(opened.fd);
}

TEST("a text that is not an address is not bound, and leaves no descriptor behind") {
  const uint32_t before = sys::open_descriptors();
  for (const char* host : {"", "localhost", "1.2.3", "127.0.0.1 80"}) {
    for (const bool is_unix : {false, true}) {
      listening::Options options;
      options.host = is_unix ? std::string(200, 'a') : host;
      options.is_unix = is_unix;
      const listening::Opened opened = listening::open(options);
      EXPECT_EQUAL(opened.fd, -1);
      EXPECT_EQUAL(opened.error, EINVAL);
    }
  }
  listening::Options nameless;
  nameless.is_unix = true;
  EXPECT_EQUAL(listening::open(nameless).error, EINVAL);
  listening::Options elsewhere;
  elsewhere.host = "192.0.2.1";
  EXPECT_EQUAL(listening::open(elsewhere).error, EADDRNOTAVAIL);
  EXPECT_EQUAL(sys::open_descriptors(), before);
}

TEST("registering an inherited listener returns its address and sets our options") {
  // As systemd passes it: blocking, and inherited across exec.
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in local{};
  local.sin_family = AF_INET;
  local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQUAL(::bind(fd, reinterpret_cast<const sockaddr*>(&local), sizeof local), 0);
  EXPECT_EQUAL(listening::register_fd(fd, 0).error, EINVAL);
  EXPECT_EQUAL(::listen(fd, 5), 0);
  const listening::Inherited listener = listening::register_fd(fd, 77);
  EXPECT_EQUAL(listener.error, 0);
  EXPECT(listener.host == "127.0.0.1" && listener.port == listening::port(fd) && !listener.is_unix);
  EXPECT((::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
  EXPECT_EQUAL(::fcntl(fd, F_GETFD), FD_CLOEXEC);
  EXPECT_EQUAL(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT_EQUAL(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), 77);
  sys::close(fd);
}

TEST("registering an inherited listener returns its IPv6 address, path or abstract name") {
  listening::Options options;
  options.host = "::1";
  const listening::Opened opened = listening::open(options);
  EXPECT_EQUAL(listening::listen(opened.fd, 5), 0);
  EXPECT(listening::register_fd(opened.fd, 0).host == "::1");
  sys::close(opened.fd);

  const std::string path = "/tmp/megacomet-inherited-" + std::to_string(::getpid());
  for (const std::string& name : {path, std::string(1, '\0') + "megacomet inherited"}) {
    sockaddr_un local{};
    local.sun_family = AF_UNIX;
    std::memcpy(local.sun_path, name.data(), name.size());
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    const auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    EXPECT_EQUAL(::bind(fd, reinterpret_cast<const sockaddr*>(&local), bytes), 0);
    EXPECT_EQUAL(::listen(fd, 5), 0);
    const listening::Inherited listener = listening::register_fd(fd, 77);
    EXPECT_EQUAL(listener.error, 0);
    EXPECT(listener.is_unix);
    EXPECT(listener.host == (name == path ? path : "@megacomet inherited"));
    sys::close(fd);
  }
  ::unlink(path.c_str());
}

TEST("a descriptor that is not a usable listener is rejected with the reason") {
  EXPECT_EQUAL(listening::register_fd(-1, 0).error, EBADF);
  const int file = sys::open_spare();
  EXPECT_EQUAL(listening::register_fd(file, 0).error, ENOTSOCK);
  sys::close(file);
  const int datagrams = ::socket(AF_INET, SOCK_DGRAM, 0);
  EXPECT_EQUAL(listening::register_fd(datagrams, 0).error, EPROTOTYPE);
  sys::close(datagrams);
  const ListeningSocket listener;
  const unit::Client client(listener.port());
  EXPECT_EQUAL(listening::register_fd(client.fd(), 0).error, EINVAL);
}

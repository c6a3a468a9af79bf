// A worker's transport with TLS over real sockets, and OpenSSL's client.
#pragma once

#include <memory>
#include <string>

#include "connection/rejection_log.h"
#include "connection/tls_connections.h"
#include "support/fixture.h"
#include "support/unit.h"
#include "tls/tls_client.h"

struct SealedWorld : unit::World {
  explicit SealedWorld(uint32_t tls12_connections_max = 10);

  /// The only connection is idle: it has its record and its secrets alone.
  bool is_idle();

  unit::ControlPeer manager;
  unit::DeafHandler handler;
  megacomet::Control control{loop.get(), &handler};
  megacomet::RejectionLog rejections{&control, &counters};
  unit::ListeningSocket listener;
};

/// A TLS client behind a real socket.
struct SealedPeer {
  explicit SealedPeer(SealedWorld* world, const TlsClient::Options& options = {});

  void exchange();
  bool shakes_hands();
  /// Waits until that many bytes of data have arrived.
  std::string read(size_t size);
  /// Waits until the server closes; has the data that arrived before.
  std::string read_to_end();

  SealedWorld* world;
  TlsClient tls;
  std::unique_ptr<unit::Client> socket;
};

/// Options of a client with TLS 1.2.
inline TlsClient::Options tls12() {
  return {"TLS_AES_128_GCM_SHA256", TLS1_2_VERSION};
}

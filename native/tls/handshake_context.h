// The common part of handshakes of servers and of clients: one SSL_CTX of OpenSSL, which tells each
// handshake its secrets and the number of its records.
#pragma once

#include <string>
#include <string_view>

#include "os/openssl.h"

namespace megacomet {

/// What OpenSSL tells about one handshake.
class HandshakeObserver {
 public:
  /// A line of SSLKEYLOGFILE: label, client random, secret in hexadecimal digits.
  virtual void take_key(std::string_view line) = 0;
  virtual void note_record_sent() = 0;
  /// Records from now on are sealed with the traffic secret.
  virtual void note_finished_sent() = 0;

 protected:
  ~HandshakeObserver() = default;
};

class HandshakeContext {
 public:
  HandshakeContext(const HandshakeContext&) = delete;
  HandshakeContext& operator=(const HandshakeContext&) = delete;

  /// False if memory ran out, or OpenSSL does not know a name of the settings.
  [[nodiscard]] bool is_ready() const { return context_ != nullptr; }

  [[nodiscard]] const OpenSslTls& functions() const { return openssl_; }

  /// The handshake of a session is done: its observer learns nothing more.
  static void leave(SSL* session);

 protected:
  HandshakeContext(const OpenSslTls& functions, const SSL_METHOD* method);
  ~HandshakeContext() { openssl_.SSL_CTX_free(context_); }

  /// Frees the context: is_ready() is false from now on.
  void give_up();

  /// An object for one handshake, which `observer` outlives unless leave() is called; null if
  /// memory ran out.
  [[nodiscard]] SSL* make_session(HandshakeObserver* observer);

  /// Trusts these authorities, PEM, to sign the certificate of a peer; if `is_announced`, a server
  /// tells its clients. Returns "" or the reason why OpenSSL rejects them.
  [[nodiscard]] std::string trust(std::string_view authorities, bool is_announced);

  /// For reading only.
  [[nodiscard]] BIO* open_text(std::string_view text) const;
  /// The reason of OpenSSL's first error.
  [[nodiscard]] std::string take_error();

  /// Never asks for a pass phrase: this process has no terminal.
  static int no_pass_phrase(char* out, int size, int is_write, void* unused);

  const OpenSslTls& openssl_;
  SSL_CTX* context_;

 private:
  static void on_key(const SSL* session, const char* line);
  static void on_message(int is_write,
                         int version,
                         int type,
                         const void* bytes,
                         size_t size,
                         SSL* session,
                         void* observer);
};

}  // namespace megacomet

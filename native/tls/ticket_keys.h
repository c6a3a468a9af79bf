// The keys of session tickets (RFC 8446 4.6.1). A ticket is the session itself, sealed: this
// process keeps nothing, and every worker with the same keys can resume it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "os/openssl.h"

namespace megacomet {

/// A key as the frame TlsTickets has it. The name is in the ticket, unsealed.
struct TicketKey {
  std::array<uint8_t, 16> name;
  std::array<uint8_t, 32> cipher_key;
  std::array<uint8_t, 32> mac_key;
};
static_assert(sizeof(TicketKey) == 80);

class TicketKeys {
 public:
  /// The present key, the one before, and the next: a worker may get it later than another.
  static constexpr size_t kCount = 3;

  explicit TicketKeys(const OpenSslTls& functions);
  TicketKeys(const TicketKeys&) = delete;
  TicketKeys& operator=(const TicketKeys&) = delete;
  /// Erases the keys.
  ~TicketKeys();

  /// Replaces all keys and erases the old ones. False if the bytes are not those of three keys, or
  /// OpenSSL lacks the cipher.
  [[nodiscard]] bool set(std::string_view keys);

  // The two halves of OpenSSL's callback, with its results (SSL_CTX_set_tlsext_ticket_key_cb(3)).

  /// Chooses name and initialization vector of a new ticket.
  int seal(uint8_t* name, uint8_t* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac) const;
  /// Finds the key of a client's ticket. Without it the handshake is a full one.
  int open(const uint8_t* name, const uint8_t* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac) const;

 private:
  [[nodiscard]] bool set_mac(const TicketKey& key, EVP_MAC_CTX* mac) const;

  const OpenSslTls& openssl_;
  /// Null if OpenSSL lacks it.
  EVP_CIPHER* cipher_;
  std::array<TicketKey, kCount> keys_{};
};

}  // namespace megacomet

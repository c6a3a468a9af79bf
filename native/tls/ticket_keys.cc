// Sealing and opening of tickets. See ticket_keys.h.
#include "tls/ticket_keys.h"

#include <algorithm>
#include <cstring>

namespace megacomet {

namespace {

constexpr int kError = -1;
constexpr int kNoKey = 0;
constexpr int kSealed = 1;
/// The session is resumed and the client gets a new ticket, because it uses each one once (RFC 8446
/// C.4).
constexpr int kOpenedAndRenewed = 2;

constexpr int kIvBytes = 16;

}  // namespace

/// OpenSSL appends a MAC to the sealed session, so a cipher with a tag of its own has no place
/// there.
TicketKeys::TicketKeys(const OpenSslTls& functions)
    : openssl_(functions), cipher_(functions.EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr)) {}

TicketKeys::~TicketKeys() {
  openssl_.EVP_CIPHER_free(cipher_);
  openssl_.OPENSSL_cleanse(keys_.data(), sizeof keys_);
}

bool TicketKeys::set(std::string_view keys) {
  if (cipher_ == nullptr || keys.size() != sizeof keys_) return false;
  openssl_.OPENSSL_cleanse(keys_.data(), sizeof keys_);
  std::memcpy(keys_.data(), keys.data(), sizeof keys_);
  return true;
}

bool TicketKeys::set_mac(const TicketKey& key, EVP_MAC_CTX* mac) const {
  char digest[] = "SHA256";
  OSSL_PARAM parameters[2] = {};  // The second one ends the list.
  parameters[0].key = "digest";
  parameters[0].data_type = OSSL_PARAM_UTF8_STRING;
  parameters[0].data = digest;
  parameters[0].data_size = sizeof digest - 1;
  return openssl_.EVP_MAC_init(mac, key.mac_key.data(), key.mac_key.size(), parameters) == 1;
}

int TicketKeys::seal(uint8_t* name, uint8_t* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac) const {
  const TicketKey& key = keys_.front();
  std::copy(key.name.begin(), key.name.end(), name);
  const bool is_done =
      openssl_.RAND_bytes(iv, kIvBytes) == 1 &&
      openssl_.EVP_EncryptInit_ex2(cipher, cipher_, key.cipher_key.data(), iv, nullptr) == 1 &&
      set_mac(key, mac);
  return is_done ? kSealed : kError;
}

int TicketKeys::open(const uint8_t* name,
                     const uint8_t* iv,
                     EVP_CIPHER_CTX* cipher,
                     EVP_MAC_CTX* mac) const {
  const auto found = std::find_if(keys_.begin(), keys_.end(), [name](const TicketKey& key) {
    return std::memcmp(key.name.data(), name, key.name.size()) == 0;
  });
  if (found == keys_.end()) return kNoKey;
  const bool is_done =
      set_mac(*found, mac) &&
      openssl_.EVP_DecryptInit_ex2(cipher, cipher_, found->cipher_key.data(), iv, nullptr) == 1;
  return is_done ? kOpenedAndRenewed : kError;
}

}  // namespace megacomet

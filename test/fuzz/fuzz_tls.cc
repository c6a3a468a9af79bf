// Fuzz target for the record layer of TLS: bytes as a stranger sends them, and records of every
// type, content and cut as a client could seal them. Uses the system's OpenSSL, as the fuzzer is
// not a process of Node.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <dlfcn.h>

#include "base/check.h"
#include "tls/record_layer.h"

using namespace megacomet;

namespace {

const OpenSslTls& openssl() {
  static const bool kIsLoaded = [] {
    return ::dlopen("libcrypto.so.3", RTLD_NOW | RTLD_GLOBAL) != nullptr &&
           ::dlopen("libssl.so.3", RTLD_NOW | RTLD_GLOBAL) != nullptr;
  }();
  MC_CHECK(kIsLoaded && find_openssl_tls() != nullptr);
  return *find_openssl_tls();
}

RecordLayer& layer() {
  static RecordLayer made(openssl());
  return made;
}

constexpr TlsSecret kSecret = {1, 2, 3, 4, 5, 6, 7, 8};

TlsState begin(uint8_t choice) {
  TlsState state{};
  const auto suite = static_cast<TlsSuite>(1 + choice % kTlsSuites);
  layer().begin(&state, suite, kSecret, kSecret, 0);
  state.is_client = (choice & 0x80U) != 0;
  return state;
}

TlsInput read(TlsState* state, std::string* bytes) {
  const TlsInput input =
      layer().read(state, reinterpret_cast<uint8_t*>(bytes->data()), bytes->size(), 0);
  MC_CHECK(input.consumed <= bytes->size() && input.data_bytes <= input.consumed);
  MC_CHECK(state->is_read_closed || state->fragment_bytes < kKeyUpdateBytes);
  return input;
}

/// Bytes that were never sealed do not open.
void check_strange(uint8_t choice, std::string_view text) {
  TlsState state = begin(choice);
  std::string bytes(text);
  MC_CHECK(read(&state, &bytes).data_bytes == 0);
}

/// Each record is a byte for its type, a byte for its size, and its content. Data arrives whole and
/// in order until the first error, with any records between.
void check_sealed(uint8_t choice, std::string_view text) {
  TlsState state = begin(choice);
  RecordCipher cipher(openssl());
  KeySchedule schedule(openssl());
  std::string sent;
  std::string received;
  while (text.size() >= 2) {
    TlsKeys keys{};
    MC_CHECK(schedule.derive(state.suite, state.read_secret, &keys));
    const auto type = static_cast<TlsContent>(20 + static_cast<uint8_t>(text[0]) % 5);
    std::string content(text.substr(2, static_cast<uint8_t>(text[1])));
    text.remove_prefix(2 + content.size());
    std::string record(content.size() + kTlsOverheadBytes, '\0');
    const iovec part{content.data(), content.size()};
    cipher.seal(state.suite,
                keys,
                state.read_number,
                type,
                &part,
                1,
                reinterpret_cast<uint8_t*>(record.data()));
    const TlsInput input = read(&state, &record);
    if (type == TlsContent::kData) sent += content;
    received.append(record, 0, input.data_bytes);
    if (input.end != TlsEnd::kNone) return;
    MC_CHECK(input.consumed == record.size() && received == sent);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  check_strange(data[0], text);
  check_sealed(data[0], text);
  return 0;
}

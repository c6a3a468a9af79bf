// Tests of the record layer against OpenSSL, which seals the same bytes and opens ours.
#include "tls/record_layer.h"

#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/bounds.h"
#include "support/unit.h"
#include "tls/tls_client.h"

using namespace megacomet;

namespace {

constexpr const char* kSuites[] = {
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
};

/// Records of each comparison; tls-units.slow.ts asks for more.
size_t record_count() {
  const char* text = std::getenv("UNIT_RECORDS");
  return text == nullptr ? 300 : std::strtoull(text, nullptr, 10);
}

std::string random_text(size_t size) {
  std::string text;
  while (text.size() < size) {
    const uint64_t bytes = unit::random()();
    text.append(reinterpret_cast<const char*>(&bytes), sizeof bytes);
  }
  text.resize(size);
  return text;
}

/// Mostly short, sometimes at the bound of a record.
size_t random_size() {
  switch (unit::upto(30)) {
    case 0:
      return kTlsContentBytesMax - unit::upto(2);
    case 1:
      return 1 + unit::upto(kTlsContentBytesMax - 1);
    default:
      return 1 + unit::upto(200);
  }
}

/// A server's side after a handshake with OpenSSL's client.
struct World {
  explicit World(const char* suite = kSuites[0],
                 std::string_view early = {},
                 size_t piece = 100'000)
      : layer(*find_openssl_tls()), client({suite}) {
    EXPECT(layer.is_ready());
    detached = shake_hands(test_certificates(), &layer, &client, early, piece);
    EXPECT(detached.is_done);
  }

  std::string seal(std::string text) {
    std::string out(RecordLayer::sealed_bytes_max(text.size()), '\0');
    const iovec part{text.data(), text.size()};
    out.resize(layer.seal(&detached.state, &part, 1, reinterpret_cast<uint8_t*>(out.data())));
    return out;
  }

  TlsInput read(std::string* bytes, uint8_t minute = 0) {
    return layer.read(
        &detached.state, reinterpret_cast<uint8_t*>(bytes->data()), bytes->size(), minute);
  }

  /// A record of the client's, of any type, sealed with the keys of its secret.
  std::string forge(TlsContent type, std::string content, std::string padding = {}) {
    TlsKeys keys{};
    KeySchedule schedule(*find_openssl_tls());
    RecordCipher cipher(*find_openssl_tls());
    const TlsState& state = detached.state;
    EXPECT(schedule.derive(state.suite, state.read_secret, &keys));
    // The padding begins with the type.
    std::string inner = content;
    const auto outer = padding.empty() ? type : TlsContent{0};
    if (!padding.empty()) {
      inner += static_cast<char>(type);
      inner += padding.substr(1);
    }
    std::string out(inner.size() + kTlsOverheadBytes, '\0');
    const iovec part{inner.data(), inner.size()};
    cipher.seal(state.suite,
                keys,
                forged_number++,
                outer,
                &part,
                1,
                reinterpret_cast<uint8_t*>(out.data()));
    return out;
  }

  RecordLayer layer;
  TlsClient client;
  Detached detached;
  uint64_t forged_number = 0;
};

TlsInput read_forged(TlsContent type, const std::string& content) {
  World world;
  std::string record = world.forge(type, content);
  return world.read(&record);
}

bool is_broken(const TlsInput& input, TlsAlert alert) {
  return input.end == TlsEnd::kBroken && input.alert == alert;
}

const std::string kUpdate("\x18\0\0\1\0", 5);
const std::string kUpdateRequest("\x18\0\0\1\1", 5);

}  // namespace

TEST("the records of this layer are those of OpenSSL, byte by byte, for every suite") {
  for (const char* suite : kSuites) {
    World world(suite);
    // The same secret and number on both sides: OpenSSL's client seals, and so do we.
    const TlsState& state = world.detached.state;
    TlsKeys keys{};
    KeySchedule schedule(*find_openssl_tls());
    RecordCipher cipher(*find_openssl_tls());
    EXPECT(schedule.derive(state.suite, state.read_secret, &keys));
    for (uint64_t number = 0; number < record_count(); ++number) {
      std::string text = random_text(random_size());
      world.client.write(text);
      std::string ours(text.size() + kTlsOverheadBytes, '\0');
      // In two parts, as messages that share a record.
      const size_t first = unit::upto(text.size());
      const iovec parts[] = {{text.data(), first}, {text.data() + first, text.size() - first}};
      auto* out = reinterpret_cast<uint8_t*>(ours.data());
      EXPECT_EQUAL(cipher.seal(state.suite, keys, number, TlsContent::kData, parts, 2, out),
                   ours.size());
      if (!EXPECT(world.client.sent() == ours)) return;
    }
  }
}

TEST("OpenSSL opens records that this layer seals, and this layer those of OpenSSL") {
  for (const char* suite : kSuites) {
    World world(suite);
    for (size_t count = 0; count < record_count(); ++count) {
      const std::string text = random_text(random_size());
      world.client.receive(world.seal(text));
      if (!EXPECT(world.client.read() == text)) return;
      world.client.write(text);
      std::string bytes = world.client.sent();
      const TlsInput input = world.read(&bytes);
      EXPECT_EQUAL(input.consumed, bytes.size());
      if (!EXPECT(bytes.substr(0, input.data_bytes) == text)) return;
    }
  }
}

TEST("a layer that forgets to raise the number is found by OpenSSL") {
  World world;
  world.client.receive(world.seal("one"));
  EXPECT(world.client.read() == "one");
  --world.detached.state.write_number;
  world.client.receive(world.seal("two"));
  EXPECT(world.client.read().empty());
}

TEST("requests that come with the client's Finished are kept whole") {
  for (const size_t piece : {size_t{100'000}, size_t{1}, size_t{7}}) {
    World world(kSuites[0], "GET / HTTP/1.1\r\n\r\n", piece);
    std::string& rest = world.detached.rest;
    if (piece > 1000) EXPECT(!rest.empty());
    if (rest.empty()) rest = world.client.sent();
    const TlsInput input = world.read(&rest);
    EXPECT(rest.substr(0, input.data_bytes) == "GET / HTTP/1.1\r\n\r\n");
  }
}

TEST("records that arrive in pieces are read when they are whole") {
  World world;
  world.client.write("one");
  world.client.write("two");
  const std::string all = world.client.sent();
  for (size_t size = 0; size < all.size(); ++size) {
    World fresh;
    fresh.client.write("one");
    fresh.client.write("two");
    std::string bytes = fresh.client.sent();
    std::string begun = bytes.substr(0, size);
    const TlsInput first = fresh.read(&begun);
    EXPECT(first.end == TlsEnd::kNone && first.consumed <= size);
    std::string others = bytes.substr(first.consumed);
    const TlsInput second = fresh.read(&others);
    EXPECT(begun.substr(0, first.data_bytes) + others.substr(0, second.data_bytes) == "onetwo");
    if (size > 8) size += 5;
  }
}

TEST("keys of both directions are renewed at the client's request, before the next data") {
  for (const bool is_requested : {false, true}) {
    World world;
    for (int round = 0; round < 5; ++round) {
      world.client.update_keys(is_requested);
      world.client.write("after");
      std::string bytes = world.client.sent();
      const TlsInput input = world.read(&bytes);
      EXPECT(bytes.substr(0, input.data_bytes) == "after");
      EXPECT(world.detached.state.owes_update == is_requested);
      world.client.receive(world.seal("ours"));
      EXPECT(world.client.read() == "ours");
      EXPECT_EQUAL(world.detached.state.write_number, is_requested ? 1U : round + 2U);
    }
  }
}

TEST("our key is renewed before its limit of records") {
  World world;
  TlsState& state = world.detached.state;
  const TlsSecret before = state.write_secret;
  // OpenSSL's client does not know the number; the length shows the KeyUpdate.
  state.write_number = bounds::kTlsRecordsPerKey - 1;
  const size_t plain = world.seal("text").size();
  EXPECT(state.write_secret == before);
  EXPECT_EQUAL(world.seal("text").size(), plain + kTlsOverheadBytes + kKeyUpdateBytes);
  EXPECT(state.write_secret != before);
  EXPECT_EQUAL(state.write_number, 1U);
}

TEST("close_notify ends a direction in order, and nothing follows it") {
  World world;
  std::string out(RecordLayer::sealed_bytes_max(2), '\0');
  out.resize(world.layer.seal_alert(
      &world.detached.state, TlsAlert::kCloseNotify, reinterpret_cast<uint8_t*>(out.data())));
  world.client.receive(out);
  EXPECT(world.client.read().empty() && world.client.has_close_notify());
  EXPECT(world.seal("more").empty());
  world.client.write("last");
  world.client.shut_down();
  std::string bytes = world.client.sent();
  const TlsInput input = world.read(&bytes);
  EXPECT(input.end == TlsEnd::kClosed && bytes.substr(0, input.data_bytes) == "last");
}

TEST("a changed bit anywhere in a record is an error of its MAC, or of its header") {
  World world;
  world.client.write("text");
  const std::string record = world.client.sent();
  for (size_t at = 0; at < record.size() * 8; ++at) {
    World fresh;
    fresh.client.write("text");
    std::string bytes = fresh.client.sent();
    bytes[at / 8] = static_cast<char>(bytes[at / 8] ^ (1 << (at % 8)));
    const TlsInput input = fresh.read(&bytes);
    EXPECT_EQUAL(input.data_bytes, 0U);
    // A shorter or longer record is cut elsewhere.
    EXPECT(input.end == TlsEnd::kBroken || at / 8 == 3 || at / 8 == 4);
    if (at >= 40) EXPECT(is_broken(input, TlsAlert::kBadRecordMac));
  }
}

TEST("a record of a wrong type, version or length ends the connection with its alert") {
  struct Row {
    std::string header;
    TlsAlert alert;
  };
  const Row rows[] = {
      {std::string("\x14\3\3\0\1", 5), TlsAlert::kUnexpectedMessage},
      {std::string("\x15\3\3\0\2", 5), TlsAlert::kUnexpectedMessage},
      {std::string("\x16\3\3\0\2", 5), TlsAlert::kUnexpectedMessage},
      {"GET / HTTP", TlsAlert::kUnexpectedMessage},
      {std::string("\x17\3\1\0\x20", 5), TlsAlert::kUnexpectedMessage},
      {std::string("\x17\3\3\x41\1", 5), TlsAlert::kRecordOverflow},
      {std::string("\x17\3\3\xff\xff", 5), TlsAlert::kRecordOverflow},
      {std::string("\x17\3\3\0\0", 5), TlsAlert::kBadRecordMac},
      {std::string("\x17\3\3\0\x10", 5) + std::string(16, 'x'), TlsAlert::kBadRecordMac},
  };
  for (const Row& row : rows) {
    World world;
    std::string bytes = row.header;
    EXPECT(is_broken(world.read(&bytes), row.alert));
  }
}

TEST("padding is dropped, and a record of nothing but padding is an error") {
  World world;
  std::string padded = world.forge(TlsContent::kData, "text", std::string(100, '\0'));
  const TlsInput input = world.read(&padded);
  EXPECT(input.end == TlsEnd::kNone && padded.substr(0, input.data_bytes) == "text");
  std::string empty = world.forge(TlsContent{0}, std::string(10, '\0'));
  EXPECT(is_broken(world.read(&empty), TlsAlert::kUnexpectedMessage));
}

TEST("a record may have 16,384 bytes of content and their type, and not a byte of padding more") {
  World world;
  // The cipher seals no more content than this, so the padding makes the overflow.
  std::string most = world.forge(TlsContent::kData, std::string(kTlsContentBytesMax, 'x'));
  EXPECT_EQUAL(world.read(&most).data_bytes, kTlsContentBytesMax);
  const std::string shorter(kTlsContentBytesMax - 10, 'x');
  std::string fits = world.forge(TlsContent::kData, shorter, std::string(10, '\0'));
  EXPECT_EQUAL(world.read(&fits).data_bytes, shorter.size());
}

TEST("records without data are limited in a row") {
  World world;
  for (int round = 0; round < 3; ++round) {
    for (int count = 1; count < bounds::kTlsEmptyRecordsMax; ++count) {
      std::string record = world.forge(TlsContent::kData, "");
      EXPECT(world.read(&record).end == TlsEnd::kNone);
    }
    std::string data = world.forge(TlsContent::kData, "x");
    EXPECT_EQUAL(world.read(&data).data_bytes, 1U);
  }
  for (int count = 1; count < bounds::kTlsEmptyRecordsMax; ++count) {
    std::string record = world.forge(TlsContent::kData, "");
    EXPECT(world.read(&record).end == TlsEnd::kNone);
  }
  std::string record = world.forge(TlsContent::kData, "");
  EXPECT(is_broken(world.read(&record), TlsAlert::kUnexpectedMessage));
}

TEST("alerts end the connection, but for user_canceled") {
  EXPECT(read_forged(TlsContent::kAlert, std::string("\1\0", 2)).end == TlsEnd::kClosed);
  EXPECT(read_forged(TlsContent::kAlert, "\2\x28").end == TlsEnd::kAlerted);
  EXPECT(read_forged(TlsContent::kAlert, "\1\x5a").end == TlsEnd::kNone);
  for (const std::string& wrong : {std::string(), std::string("\1"), std::string("\1\0\0", 3)}) {
    EXPECT(is_broken(read_forged(TlsContent::kAlert, wrong), TlsAlert::kDecodeError));
  }
}

TEST("a client may send no other handshake message than KeyUpdate") {
  for (int type = 0; type < 256; ++type) {
    if (type == 24) continue;
    const std::string message = {static_cast<char>(type), 0, 0, 1, 0};
    EXPECT(is_broken(read_forged(TlsContent::kHandshake, message), TlsAlert::kUnexpectedMessage));
  }
  EXPECT(is_broken(read_forged(TlsContent::kHandshake, ""), TlsAlert::kUnexpectedMessage));
  EXPECT(is_broken(read_forged(TlsContent::kHandshake, std::string("\x18\0\0\1\2", 5)),
                   TlsAlert::kIllegalParameter));
  EXPECT(is_broken(read_forged(TlsContent::kHandshake, std::string("\x18\0\0\2\0\0", 6)),
                   TlsAlert::kDecodeError));
  EXPECT(is_broken(read_forged(TlsContent::kHandshake, kUpdate + kUpdate),
                   TlsAlert::kUnexpectedMessage));
  EXPECT(is_broken(read_forged(TlsContent::kChangeCipherSpec, "\1"), TlsAlert::kUnexpectedMessage));
}

TEST("a KeyUpdate may be split over records, but not mixed with others") {
  for (size_t at = 1; at < kUpdateRequest.size(); ++at) {
    World world;
    std::string first = world.forge(TlsContent::kHandshake, kUpdateRequest.substr(0, at));
    EXPECT(world.read(&first).end == TlsEnd::kNone);
    World mixed;
    std::string begun = mixed.forge(TlsContent::kHandshake, kUpdateRequest.substr(0, at));
    EXPECT(mixed.read(&begun).end == TlsEnd::kNone);
    std::string data = mixed.forge(TlsContent::kData, "x");
    EXPECT(is_broken(mixed.read(&data), TlsAlert::kUnexpectedMessage));
    std::string second = world.forge(TlsContent::kHandshake, kUpdateRequest.substr(at));
    EXPECT(world.read(&second).end == TlsEnd::kNone);
    EXPECT(world.detached.state.owes_update && world.detached.state.read_number == 0);
  }
}

TEST("KeyUpdates are limited in a minute") {
  World world;
  for (uint8_t minute = 0; minute < 3; ++minute) {
    for (int count = 0; count < bounds::kTlsKeyUpdatesMax; ++count) {
      world.forged_number = 0;
      std::string record = world.forge(TlsContent::kHandshake, kUpdate);
      if (!EXPECT(world.read(&record, minute).end == TlsEnd::kNone)) return;
    }
  }
  world.forged_number = 0;
  std::string record = world.forge(TlsContent::kHandshake, kUpdate);
  EXPECT(is_broken(world.read(&record, 2), TlsAlert::kUnexpectedMessage));
}

TEST("the secrets of a connection are erased after a KeyUpdate, and at its end") {
  World world;
  TlsState& state = world.detached.state;
  const auto keeps = [&world](const TlsSecret& secret) {
    const std::string_view memory(reinterpret_cast<const char*>(&world.layer), sizeof world.layer);
    const std::string_view wanted(reinterpret_cast<const char*>(secret.data()), secret.size());
    return memory.find(wanted) != std::string_view::npos;
  };
  const TlsSecret first = state.read_secret;
  std::string data = world.forge(TlsContent::kData, "x");
  EXPECT(world.read(&data).end == TlsEnd::kNone && keeps(first));
  std::string update = world.forge(TlsContent::kHandshake, kUpdate);
  EXPECT(world.read(&update).end == TlsEnd::kNone && !keeps(first));
  const TlsSecret second = state.read_secret;
  world.forged_number = 0;
  data = world.forge(TlsContent::kData, "x");
  EXPECT(world.read(&data).end == TlsEnd::kNone && keeps(second));
  world.layer.forget(&state);
  EXPECT(!keeps(second));
  const TlsState empty{};
  EXPECT(std::memcmp(&state, &empty, sizeof state) == 0);
}

TEST("a client ignores session tickets, also split ones") {
  const std::string ticket = std::string("\4\0\1\x2c", 4) + std::string(300, 't');
  World world;
  world.detached.state.is_client = true;
  std::string all = world.forge(TlsContent::kHandshake, ticket + ticket.substr(0, 2));
  all += world.forge(TlsContent::kHandshake, ticket.substr(2));
  all += world.forge(TlsContent::kData, "data");
  const TlsInput input = world.read(&all);
  EXPECT(input.end == TlsEnd::kNone && all.substr(0, input.data_bytes) == "data");
}

TEST("random bytes never open, and end the connection or wait") {
  World world;
  for (int count = 0; count < 2000; ++count) {
    std::string bytes = random_text(unit::upto(200));
    if (unit::upto(1) == 0 && bytes.size() >= 5) bytes.replace(0, 4, std::string("\x17\3\3\0", 4));
    const TlsInput input = world.read(&bytes);
    EXPECT_EQUAL(input.data_bytes, 0U);
    EXPECT(input.consumed <= bytes.size());
  }
}

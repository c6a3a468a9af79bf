// Fuzz target for permessage-deflate: offers and their responses; payloads, which must inflate to
// the same text in any parts, within the limit; and messages, which must be restored.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "codec/deflate_codec.h"

using namespace megacomet;

namespace {

constexpr size_t kMost = 50'000;

struct Outcome {
  DeflateFault fault;
  std::string text;
};

Outcome inflate(DeflateCodec* codec, std::string_view payload, size_t part) {
  DeflateCodec::Inflater* inflater = nullptr;
  MC_CHECK(codec->begin_message(&inflater) == DeflateFault::kNone);
  Outcome outcome{DeflateFault::kNone, {}};
  size_t at = 0;
  do {
    const std::string_view piece = payload.substr(at, part);
    // A copy of exact size, so that the sanitizer detects a read past its end.
    const std::vector<char> tight(piece.begin(), piece.end());
    at += piece.size();
    outcome.fault = codec->inflate(
        inflater, {tight.data(), tight.size()}, at == payload.size(), kMost, &outcome.text);
    MC_CHECK(outcome.text.size() <= kMost);
  } while (outcome.fault == DeflateFault::kNone && at < payload.size());
  codec->end_message(inflater);
  return outcome;
}

/// The response is itself an offer with the same agreement.
void check_offer(std::string_view header) {
  const std::vector<char> tight(header.begin(), header.end());
  DeflateAgreement agreement;
  if (negotiate_deflate({tight.data(), tight.size()}, &agreement) != DeflateOffer::kAgreed) return;
  MC_CHECK(agreement.deflate_window_bits() >= 9 && agreement.deflate_window_bits() <= 15);
  std::string answer;
  append_deflate_answer(agreement, &answer);
  DeflateAgreement again;
  MC_CHECK(negotiate_deflate(answer, &again) == DeflateOffer::kAgreed);
  MC_CHECK(again.server_window_bits == agreement.server_window_bits);
  MC_CHECK(again.client_window_bits == agreement.client_window_bits);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  static DeflateCodec codec(1);
  const std::string_view text(reinterpret_cast<const char*>(data + 2), size - 2);
  check_offer(text);
  const Outcome whole = inflate(&codec, text, size);
  const Outcome in_parts = inflate(&codec, text, 1 + data[0]);
  MC_CHECK(whole.fault == in_parts.fault);
  MC_CHECK(whole.fault != DeflateFault::kNone || whole.text == in_parts.text);
  // Repeats the input, so that deflate refers back over long distances.
  std::string message;
  while (message.size() < kMost / 2 && !text.empty() && (data[1] & 0x80) != 0) message += text;
  if (message.empty()) message = text;
  const auto window_bits = static_cast<uint8_t>(9 + data[1] % 7);
  std::string payload;
  MC_CHECK(codec.deflate(message, window_bits, &payload) == DeflateFault::kNone);
  DeflateCodec narrow(1, window_bits);
  const Outcome back = inflate(&narrow, payload, 1 + data[0]);
  MC_CHECK(back.fault == DeflateFault::kNone && back.text == message);
  return 0;
}

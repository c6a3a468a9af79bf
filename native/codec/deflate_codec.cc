// permessage-deflate by zlib. See deflate_codec.h.
#include "codec/deflate_codec.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <dlfcn.h>
#include <zlib.h>

#include "base/ascii.h"
#include "base/check.h"

namespace megacomet {

namespace {

// ---- zlib, loaded at its first use

#define MC_ZLIB(X)               \
  X(inflate_init, inflateInit2_) \
  X(inflate_reset, inflateReset) \
  X(inflate, inflate)            \
  X(inflate_end, inflateEnd)     \
  X(deflate_init, deflateInit2_) \
  X(deflate_reset, deflateReset) \
  X(deflate, deflate)            \
  X(deflate_bound, deflateBound) \
  X(deflate_end, deflateEnd)

struct Zlib {
#define X(name, symbol) decltype(&::symbol) name = nullptr;
  MC_ZLIB(X)
#undef X
};

/// Fills the table from one library; returns the first missing symbol. All symbols must come from
/// the same library, because the states of two builds of zlib are not compatible.
const char* load_from(void* library, Zlib* out) {
#define X(name, symbol)                                                       \
  out->name = reinterpret_cast<decltype(out->name)>(dlsym(library, #symbol)); \
  if (out->name == nullptr) return #symbol;
  MC_ZLIB(X)
#undef X
  return nullptr;
}

struct LoadedZlib {
  Zlib table;
  const char* missing;

  LoadedZlib() : missing(load_from(RTLD_DEFAULT, &table)) {
    if (missing == nullptr) return;
    void* library = dlopen("libz.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr) missing = load_from(library, &table);
  }
};

const LoadedZlib& loaded_zlib() {
  static const LoadedZlib kLoaded;
  return kLoaded;
}

const Zlib& zlib() {
  MC_CHECK(loaded_zlib().missing == nullptr);
  return loaded_zlib().table;
}

/// The end of every compressed message, which frames omit (RFC 7692 7.2.1): the empty stored block
/// of a flush, without its first byte.
constexpr std::string_view kTail("\x00\x00\xff\xff", 4);

/// data_type of z_stream directly after a block that is not the last, at a byte boundary: see
/// inflate() in zlib.h.
constexpr int kAfterBlock = 128;

constexpr int kMemoryLevel = 8;

Bytef* input_of(std::string_view bytes) {
  // zlib only reads it; whether its type is const depends on ZLIB_CONST.
  return reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
}

// ---- Negotiation

constexpr uint8_t kWindowBitsMin = 8;
/// The smallest window of zlib's deflate.
constexpr uint8_t kOwnWindowBitsMin = 9;

/// Scans the list of extensions, RFC 6455 9.1.
class ListScanner {
 public:
  explicit ListScanner(std::string_view text) : rest_(text) {}

  [[nodiscard]] bool is_at_end() const { return rest_.empty(); }

  [[nodiscard]] bool is_at(char wanted) const { return !rest_.empty() && rest_.front() == wanted; }

  void skip_space() {
    while (is_at(' ') || is_at('\t')) rest_.remove_prefix(1);
  }

  bool take(char wanted) {
    if (!is_at(wanted)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  bool take_token(std::string_view* out) {
    const size_t size = ascii::kToken.span(rest_);
    *out = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return size > 0;
  }

  /// A value, quoted or not. A quoted value must be a token too; it keeps its backslashes.
  bool take_value(std::string_view* out) {
    if (!take('"')) return take_token(out);
    size_t size = 0;
    size_t characters = 0;
    while (size < rest_.size() && rest_[size] != '"') {
      if (rest_[size] == '\\') ++size;
      if (size == rest_.size() || !ascii::kToken.has(rest_[size])) return false;
      ++size;
      ++characters;
    }
    *out = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return take('"') && characters > 0;
  }

 private:
  std::string_view rest_;
};

/// Reads 8 to 15 without a leading zero; 0 for any other text.
uint8_t parse_window_bits(std::string_view value) {
  char digits[2];
  size_t count = 0;
  for (const char character : value) {
    // Any character of a quoted value may be escaped.
    if (character == '\\') continue;
    if (count == sizeof digits) return 0;
    digits[count++] = character;
  }
  uint64_t bits = 0;
  if (!ascii::parse_unsigned({digits, count}, &bits)) return 0;
  return bits >= kWindowBitsMin && bits <= kDeflateWindowBitsMax ? static_cast<uint8_t>(bits) : 0;
}

/// One offer while its parameters are read.
class OfferReader {
 public:
  explicit OfferReader(std::string_view name) : is_acceptable_(name == "permessage-deflate") {}

  /// Reads the next parameter; `value` is null if it has none.
  void add(std::string_view name, const std::string_view* value) {
    if (name == "server_no_context_takeover") {
      require(value == nullptr && is_new(kServerTakeover));
    } else if (name == "client_no_context_takeover") {
      require(value == nullptr && is_new(kClientTakeover));
    } else if (name == "server_max_window_bits") {
      agreement_.server_window_bits = value == nullptr ? 0 : parse_window_bits(*value);
      require(agreement_.server_window_bits >= kOwnWindowBitsMin && is_new(kServerWindow));
    } else if (name == "client_max_window_bits") {
      // Without a value the client supports any limit.
      agreement_.client_window_bits =
          value == nullptr ? kDeflateWindowBitsMax : parse_window_bits(*value);
      require(agreement_.client_window_bits != 0 && is_new(kClientWindow));
    } else {
      require(false);
    }
  }

  [[nodiscard]] bool is_acceptable() const { return is_acceptable_; }
  [[nodiscard]] const DeflateAgreement& agreement() const { return agreement_; }

 private:
  enum Parameter : uint8_t { kServerTakeover, kClientTakeover, kServerWindow, kClientWindow };

  void require(bool condition) { is_acceptable_ = is_acceptable_ && condition; }

  bool is_new(Parameter parameter) {
    const auto bit = static_cast<uint8_t>(1U << parameter);
    const bool was_seen = (seen_ & bit) != 0;
    seen_ |= bit;
    return !was_seen;
  }

  bool is_acceptable_;
  uint8_t seen_ = 0;
  DeflateAgreement agreement_;
};

/// Reads the parameters of one extension. False if they violate the grammar.
bool read_parameters(ListScanner* list, OfferReader* offer) {
  for (list->skip_space(); list->take(';'); list->skip_space()) {
    list->skip_space();
    std::string_view name;
    std::string_view value;
    if (!list->take_token(&name)) return false;
    const bool has_value = list->take('=');
    if (has_value && !list->take_value(&value)) return false;
    offer->add(name, has_value ? &value : nullptr);
  }
  return true;
}

}  // namespace

DeflateOffer negotiate_deflate(std::string_view header, DeflateAgreement* out) {
  ListScanner list(header);
  bool is_agreed = false;
  do {
    list.skip_space();
    // RFC 9110 5.6.1.2: a list may have empty elements.
    if (list.is_at_end() || list.is_at(',')) continue;
    std::string_view name;
    if (!list.take_token(&name)) return DeflateOffer::kMalformed;
    OfferReader offer(name);
    if (!read_parameters(&list, &offer)) return DeflateOffer::kMalformed;
    if (is_agreed || !offer.is_acceptable()) continue;
    *out = offer.agreement();
    is_agreed = true;
  } while (list.take(','));
  if (!list.is_at_end()) return DeflateOffer::kMalformed;
  return is_agreed ? DeflateOffer::kAgreed : DeflateOffer::kNone;
}

void append_deflate_answer(const DeflateAgreement& agreement, std::string* out) {
  // RFC 7692 7.1.1: a server may send both without an offer of them.
  out->append("permessage-deflate; server_no_context_takeover; client_no_context_takeover");
  if (agreement.server_window_bits != 0) {
    out->append("; server_max_window_bits=").append(std::to_string(agreement.server_window_bits));
  }
  if (agreement.client_window_bits != 0) {
    out->append("; client_max_window_bits=").append(std::to_string(agreement.client_window_bits));
  }
}

const char* missing_zlib_symbol() {
  return loaded_zlib().missing;
}

// ---- Messages

struct DeflateCodec::Inflater {
  z_stream stream{};
  bool is_busy = false;
};

struct DeflateCodec::States {
  size_t inflaters_max;
  uint8_t inflate_window_bits;
  std::vector<std::unique_ptr<Inflater>> inflaters;
  z_stream deflater{};
  /// Window of the deflater; 0 if there is none.
  uint8_t deflate_window_bits = 0;

  /// Returns the reset deflater for this window. Null without memory.
  z_stream* fresh_deflater(uint8_t window_bits);
  void end_deflater();
};

z_stream* DeflateCodec::States::fresh_deflater(uint8_t window_bits) {
  if (deflate_window_bits == window_bits) {
    return zlib().deflate_reset(&deflater) == Z_OK ? &deflater : nullptr;
  }
  end_deflater();
  deflater = {};
  // Negative bits mean deflate without a header or checksum.
  const int status = zlib().deflate_init(&deflater,
                                         Z_DEFAULT_COMPRESSION,
                                         Z_DEFLATED,
                                         -window_bits,
                                         kMemoryLevel,
                                         Z_DEFAULT_STRATEGY,
                                         ZLIB_VERSION,
                                         sizeof(z_stream));
  if (status != Z_OK) return nullptr;
  deflate_window_bits = window_bits;
  return &deflater;
}

void DeflateCodec::States::end_deflater() {
  if (deflate_window_bits != 0) zlib().deflate_end(&deflater);
  deflate_window_bits = 0;
}

DeflateCodec::DeflateCodec(size_t inflaters_max, uint8_t inflate_window_bits)
    : states_(std::make_unique<States>()) {
  states_->inflaters_max = inflaters_max;
  states_->inflate_window_bits = inflate_window_bits;
}

DeflateCodec::~DeflateCodec() {
  states_->end_deflater();
  for (const auto& inflater : states_->inflaters) zlib().inflate_end(&inflater->stream);
}

DeflateFault DeflateCodec::begin_message(Inflater** out) {
  if (missing_zlib_symbol() != nullptr) return DeflateFault::kUnavailable;
  for (const auto& inflater : states_->inflaters) {
    if (inflater->is_busy) continue;
    inflater->is_busy = true;
    *out = inflater.get();
    return DeflateFault::kNone;
  }
  if (states_->inflaters.size() >= states_->inflaters_max) return DeflateFault::kBusy;
  auto inflater = std::make_unique<Inflater>();
  const int bits = -states_->inflate_window_bits;
  if (zlib().inflate_init(&inflater->stream, bits, ZLIB_VERSION, sizeof(z_stream)) != Z_OK) {
    return DeflateFault::kUnavailable;
  }
  inflater->is_busy = true;
  *out = inflater.get();
  states_->inflaters.push_back(std::move(inflater));
  return DeflateFault::kNone;
}

namespace {

/// Inflates all of `input`, in steps small enough to detect a bomb before it takes memory.
DeflateFault inflate_bytes(z_stream* stream,
                           std::string_view input,
                           size_t bytes_max,
                           std::string* out) {
  MC_CHECK(input.size() <= UINT32_MAX);
  stream->next_in = input_of(input);
  stream->avail_in = static_cast<uInt>(input.size());
  // Once a step leaves output space unused, all input is read and all output is written.
  do {
    Bytef step[bounds::kInflateStepBytes];
    stream->next_out = step;
    stream->avail_out = sizeof step;
    const int status = zlib().inflate(stream, Z_SYNC_FLUSH);
    const size_t yield = sizeof step - stream->avail_out;
    if (yield > bytes_max - std::min(out->size(), bytes_max)) return DeflateFault::kTooBig;
    out->append(reinterpret_cast<const char*>(step), yield);
    if (status == Z_MEM_ERROR) return DeflateFault::kUnavailable;
    // No progress was possible: everything is done.
    if (status == Z_BUF_ERROR) return DeflateFault::kNone;
    // RFC 7692 7.2.3.4: a message continues after a final block, at least with the tail.
    if (status == Z_STREAM_END) {
      if (zlib().inflate_reset(stream) != Z_OK) return DeflateFault::kBroken;
    } else if (status != Z_OK) {
      return DeflateFault::kBroken;
    }
  } while (stream->avail_in > 0 || stream->avail_out == 0);
  return DeflateFault::kNone;
}

}  // namespace

DeflateFault DeflateCodec::inflate(
    Inflater* inflater, std::string_view part, bool is_final, size_t bytes_max, std::string* out) {
  MC_CHECK(inflater->is_busy);
  z_stream* stream = &inflater->stream;
  DeflateFault fault = inflate_bytes(stream, part, bytes_max, out);
  if (fault != DeflateFault::kNone || !is_final) return fault;
  fault = inflate_bytes(stream, kTail, bytes_max, out);
  if (fault != DeflateFault::kNone) return fault;
  return stream->data_type == kAfterBlock ? DeflateFault::kNone : DeflateFault::kBroken;
}

void DeflateCodec::end_message(Inflater* inflater) {
  MC_CHECK(inflater->is_busy);
  // Cannot fail on an initialised state.
  MC_CHECK(zlib().inflate_reset(&inflater->stream) == Z_OK);
  inflater->is_busy = false;
}

DeflateFault DeflateCodec::deflate(std::string_view message,
                                   uint8_t window_bits,
                                   std::string* out) {
  MC_CHECK(window_bits >= kOwnWindowBitsMin && window_bits <= kDeflateWindowBitsMax);
  MC_CHECK(message.size() <= UINT32_MAX);
  if (missing_zlib_symbol() != nullptr) return DeflateFault::kUnavailable;
  z_stream* stream = states_->fresh_deflater(window_bits);
  if (stream == nullptr) return DeflateFault::kUnavailable;
  stream->next_in = input_of(message);
  stream->avail_in = static_cast<uInt>(message.size());
  // The bound is that of Z_FINISH. A flush can need a little more, and then another iteration.
  const size_t bound = zlib().deflate_bound(stream, message.size()) + kTail.size();
  const size_t start = out->size();
  size_t size = start;
  do {
    out->resize(size + bound);
    stream->next_out = reinterpret_cast<Bytef*>(out->data() + size);
    stream->avail_out = static_cast<uInt>(bound);
    const int status = zlib().deflate(stream, Z_SYNC_FLUSH);
    MC_CHECK(status == Z_OK || status == Z_BUF_ERROR);
    size += bound - stream->avail_out;
  } while (stream->avail_out == 0);
  // RFC 7692 7.2.1: the tail of the flush is not sent.
  MC_CHECK(size - start > kTail.size());
  MC_CHECK(std::string_view(*out).substr(size - kTail.size(), kTail.size()) == kTail);
  out->resize(size - kTail.size());
  return DeflateFault::kNone;
}

void DeflateCodec::trim() {
  states_->end_deflater();
  auto& inflaters = states_->inflaters;
  const auto is_unused = [](const std::unique_ptr<Inflater>& inflater) {
    if (!inflater->is_busy) zlib().inflate_end(&inflater->stream);
    return !inflater->is_busy;
  };
  inflaters.erase(std::remove_if(inflaters.begin(), inflaters.end(), is_unused), inflaters.end());
}

size_t DeflateCodec::busy() const {
  const auto is_busy = [](const std::unique_ptr<Inflater>& inflater) { return inflater->is_busy; };
  const auto& inflaters = states_->inflaters;
  return static_cast<size_t>(std::count_if(inflaters.begin(), inflaters.end(), is_busy));
}

}  // namespace megacomet

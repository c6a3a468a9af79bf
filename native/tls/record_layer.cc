// The rules of the record layer. See record_layer.h.
#include "tls/record_layer.h"

#include <algorithm>
#include <cstring>

#include "base/bounds.h"
#include "base/check.h"

namespace megacomet {

namespace {

// Types of handshake messages (RFC 8446 4).
constexpr uint8_t kNewSessionTicket = 4;
constexpr uint8_t kKeyUpdate = 24;
constexpr size_t kMessageHeaderBytes = 4;

/// Ends reading, with the alert for the peer.
bool fail(TlsInput* input, TlsAlert alert) {
  input->end = TlsEnd::kBroken;
  input->alert = alert;
  return false;
}

size_t message_bytes(const TlsState& state) {
  return (size_t{state.fragment[1]} << 16) | (size_t{state.fragment[2]} << 8) | state.fragment[3];
}

}  // namespace

RecordLayer::RecordLayer(const OpenSslTls& functions)
    : openssl_(functions), cipher_(functions), schedule_(functions) {}

void RecordLayer::begin(TlsState* state,
                        TlsSuite suite,
                        const TlsSecret& write_secret,
                        const TlsSecret& read_secret,
                        uint64_t write_number) {
  state->suite = suite;
  state->write_secret = write_secret;
  state->read_secret = read_secret;
  MC_CHECK(schedule_.derive(suite, write_secret, &state->write_keys));
  state->write_number = write_number;
}

TlsInput RecordLayer::read(TlsState* state, uint8_t* bytes, size_t size, uint8_t minute) {
  TlsInput input;
  if (state->is_read_closed) input.consumed = size;
  while (input.end == TlsEnd::kNone) {
    uint8_t* record = bytes + input.consumed;
    size_t body_bytes = 0;
    switch (read_tls_header(record, size - input.consumed, &body_bytes)) {
      case TlsHeader::kIncomplete:
        return input;
      case TlsHeader::kUnexpected:
        fail(&input, TlsAlert::kUnexpectedMessage);
        continue;
      case TlsHeader::kOverflow:
        fail(&input, TlsAlert::kRecordOverflow);
        continue;
      case TlsHeader::kProtected:
        break;
    }
    input.consumed += kTlsHeaderBytes + body_bytes;
    OpenedRecord opened{};
    const OpenStatus status = cipher_.open(
        state->suite, read_keys_of(*state), state->read_number, record, body_bytes, &opened);
    if (status == OpenStatus::kBadMac) {
      fail(&input, TlsAlert::kBadRecordMac);
    } else if (status == OpenStatus::kEmpty) {
      fail(&input, TlsAlert::kUnexpectedMessage);
    } else if (status == OpenStatus::kOverflow || ++state->read_number >= bounds::kTlsRecordsMax) {
      fail(&input, TlsAlert::kRecordOverflow);
    } else if (take_record(state, opened, minute, &input) && opened.type == TlsContent::kData) {
      std::memmove(bytes + input.data_bytes, opened.content, opened.size);
      input.data_bytes += opened.size;
    }
  }
  state->is_read_closed = true;
  return input;
}

/// False after an end.
bool RecordLayer::take_record(TlsState* state,
                              const OpenedRecord& record,
                              uint8_t minute,
                              TlsInput* input) {
  // A handshake message goes on in the next record (RFC 8446 5.1).
  const bool is_split = state->fragment_bytes > 0 || state->ignored_bytes > 0;
  if (is_split && record.type != TlsContent::kHandshake) {
    return fail(input, TlsAlert::kUnexpectedMessage);
  }
  switch (record.type) {
    case TlsContent::kData:
      if (record.size > 0) {
        state->empty_records = 0;
        return true;
      }
      if (++state->empty_records < bounds::kTlsEmptyRecordsMax) return true;
      return fail(input, TlsAlert::kUnexpectedMessage);
    case TlsContent::kAlert:
      return take_alert(record, input);
    case TlsContent::kHandshake:
      return take_handshake(state, record, minute, input);
    case TlsContent::kChangeCipherSpec:
      break;
  }
  return fail(input, TlsAlert::kUnexpectedMessage);
}

bool RecordLayer::take_alert(const OpenedRecord& record, TlsInput* input) {
  // Level and description; the level says nothing any more (RFC 8446 6).
  if (record.size != 2) return fail(input, TlsAlert::kDecodeError);
  const auto alert = static_cast<TlsAlert>(record.content[1]);
  // It comes before close_notify.
  if (alert == TlsAlert::kUserCanceled) return true;
  const bool is_orderly = alert == TlsAlert::kCloseNotify;
  input->end = is_orderly ? TlsEnd::kClosed : TlsEnd::kAlerted;
  input->alert = alert;
  return false;
}

/// KeyUpdates, and in a client session tickets, which it ignores.
bool RecordLayer::take_handshake(TlsState* state,
                                 const OpenedRecord& record,
                                 uint8_t minute,
                                 TlsInput* input) {
  if (record.size == 0) return fail(input, TlsAlert::kUnexpectedMessage);
  size_t at = 0;
  while (at < record.size) {
    const size_t ignored = std::min<size_t>(state->ignored_bytes, record.size - at);
    state->ignored_bytes = static_cast<uint16_t>(state->ignored_bytes - ignored);
    at += ignored;
    if (at == record.size) break;
    state->fragment[state->fragment_bytes++] = record.content[at++];
    const uint8_t type = state->fragment[0];
    if (type == kNewSessionTicket && state->is_client) {
      if (state->fragment_bytes < kMessageHeaderBytes) continue;
      if (message_bytes(*state) > bounds::kTlsTicketBytesMax) {
        return fail(input, TlsAlert::kDecodeError);
      }
      state->ignored_bytes = static_cast<uint16_t>(message_bytes(*state));
      state->fragment_bytes = 0;
      continue;
    }
    if (type != kKeyUpdate) return fail(input, TlsAlert::kUnexpectedMessage);
    if (state->fragment_bytes >= kMessageHeaderBytes && message_bytes(*state) != 1) {
      return fail(input, TlsAlert::kDecodeError);
    }
    if (state->fragment_bytes < kKeyUpdateBytes) continue;
    // The keys change with the next record (RFC 8446 5.1).
    if (at < record.size) return fail(input, TlsAlert::kUnexpectedMessage);
    return take_key_update(state, minute, input);
  }
  return true;
}

bool RecordLayer::take_key_update(TlsState* state, uint8_t minute, TlsInput* input) {
  const uint8_t request = state->fragment[kKeyUpdateBytes - 1];
  state->fragment_bytes = 0;
  if (request > 1) return fail(input, TlsAlert::kIllegalParameter);
  if (state->update_minute != minute) {
    state->update_minute = minute;
    state->key_updates = 0;
  }
  if (++state->key_updates > bounds::kTlsKeyUpdatesMax) {
    return fail(input, TlsAlert::kUnexpectedMessage);
  }
  if (request == 1) state->owes_update = true;
  forget_read_keys(*state);
  if (!schedule_.advance(state->suite, &state->read_secret)) {
    return fail(input, TlsAlert::kInternalError);
  }
  state->read_number = 0;
  return true;
}

/// A secret is random, so its first byte chooses the slot.
RecordLayer::ReadKeys& RecordLayer::slot_of(const TlsState& state) {
  // Secrets are random.
  const size_t number = (size_t{state.read_secret[0]} << 8U) | state.read_secret[1];
  return read_keys_[number % kReadKeysKept];
}

const TlsKeys& RecordLayer::read_keys_of(const TlsState& state) {
  ReadKeys& kept = slot_of(state);
  if (kept.suite == state.suite && kept.secret == state.read_secret) return kept.keys;
  MC_CHECK(schedule_.derive(state.suite, state.read_secret, &kept.keys));
  kept.secret = state.read_secret;
  kept.suite = state.suite;
  return kept.keys;
}

void RecordLayer::forget_read_keys(const TlsState& state) {
  ReadKeys& kept = slot_of(state);
  if (kept.secret == state.read_secret) openssl_.OPENSSL_cleanse(&kept, sizeof kept);
}

void RecordLayer::forget(TlsState* state) {
  forget_read_keys(*state);
  openssl_.OPENSSL_cleanse(state, sizeof *state);
}

size_t RecordLayer::seal(TlsState* state, const iovec* parts, size_t count, uint8_t* out) {
  if (state->is_write_closed) return 0;
  const bool is_due = state->owes_update || state->write_number >= bounds::kTlsRecordsPerKey;
  const size_t update = is_due ? seal_update(state, out) : 0;
  return update + seal_record(state, TlsContent::kData, parts, count, out + update);
}

size_t RecordLayer::seal_alert(TlsState* state, TlsAlert alert, uint8_t* out) {
  if (state->is_write_closed) return 0;
  const bool is_warning = alert == TlsAlert::kCloseNotify || alert == TlsAlert::kUserCanceled;
  uint8_t content[2] = {static_cast<uint8_t>(is_warning ? 1 : 2), static_cast<uint8_t>(alert)};
  const iovec part{content, sizeof content};
  const size_t size = seal_record(state, TlsContent::kAlert, &part, 1, out);
  state->is_write_closed = true;
  return size;
}

/// Raises the number before anything is sealed with it: no path may use a nonce twice.
size_t RecordLayer::seal_record(
    TlsState* state, TlsContent type, const iovec* parts, size_t count, uint8_t* out) {
  const uint64_t number = state->write_number++;
  return cipher_.seal(state->suite, state->write_keys, number, type, parts, count, out);
}

size_t RecordLayer::seal_update(TlsState* state, uint8_t* out) {
  uint8_t message[kKeyUpdateBytes] = {kKeyUpdate, 0, 0, 1, 0};
  const iovec part{message, sizeof message};
  const size_t size = seal_record(state, TlsContent::kHandshake, &part, 1, out);
  MC_CHECK(schedule_.advance(state->suite, &state->write_secret));
  MC_CHECK(schedule_.derive(state->suite, state->write_secret, &state->write_keys));
  state->write_number = 0;
  state->owes_update = false;
  return size;
}

}  // namespace megacomet

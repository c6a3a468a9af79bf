// The choice between the two layers. See tls_records.h.
#include "tls/tls_records.h"

namespace megacomet {

bool TlsRecords::begin(TlsHandshake* handshake, TlsState* state, SslOwner* session) {
  if (!handshake->is_tls12()) return handshake->detach(&layer_, state);
  *session = handshake->leave();
  tls12_layer_.attach(session->get());
  return true;
}

TlsInput TlsRecords::read(
    TlsState* state, SSL* session, uint8_t* bytes, size_t size, uint8_t minute) {
  if (session == nullptr) return layer_.read(state, bytes, size, minute);
  TlsInput input;
  input.consumed = size;
  if (state->is_read_closed) return input;
  input = tls12_layer_.read(session, bytes, size);
  if (input.end != TlsEnd::kNone) state->is_read_closed = true;
  return input;
}

size_t TlsRecords::seal(
    TlsState* state, SSL* session, const iovec* parts, size_t count, uint8_t* out) {
  if (session == nullptr) return layer_.seal(state, parts, count, out);
  return state->is_write_closed ? 0 : tls12_layer_.seal(session, parts, count, out);
}

size_t TlsRecords::seal_alert(TlsState* state, SSL* session, TlsAlert alert, uint8_t* out) {
  if (session == nullptr) return layer_.seal_alert(state, alert, out);
  if (state->is_write_closed) return 0;
  state->is_write_closed = true;
  return tls12_layer_.seal_alert(session, alert, out);
}

}  // namespace megacomet

// Driving OpenSSL's objects of TLS 1.2. See tls12_layer.h.
#include "tls/tls12_layer.h"

#include <algorithm>
#include <cstring>

namespace megacomet {

namespace {

/// Bytes after the header of a record (RFC 5246 6.2.3).
constexpr size_t kBodyBytesMax = kTlsContentBytesMax + 2048;
constexpr uint8_t kVersionMajor = 3;

/// The bytes of the whole records at the front. `is_bad` if the next one cannot be a record: it is
/// counted too, because OpenSSL chooses the alert.
size_t whole_records(const uint8_t* bytes, size_t size, bool* is_bad) {
  size_t at = 0;
  while (size - at >= kTlsHeaderBytes) {
    const uint8_t* header = bytes + at;
    const size_t body = (size_t{header[3]} << 8U) | header[4];
    const bool is_known = header[0] >= static_cast<uint8_t>(TlsContent::kChangeCipherSpec) &&
                          header[0] <= static_cast<uint8_t>(TlsContent::kData);
    *is_bad = !is_known || header[1] != kVersionMajor || body > kBodyBytesMax;
    if (*is_bad) return size;
    if (size - at < kTlsHeaderBytes + body) break;
    at += kTlsHeaderBytes + body;
  }
  return at;
}

}  // namespace

Tls12Layer::Tls12Layer(const OpenSslTls& functions)
    : openssl_(functions),
      input_(functions.BIO_new(functions.BIO_s_mem())),
      output_(functions.BIO_new(functions.BIO_s_mem())) {}

Tls12Layer::~Tls12Layer() {
  openssl_.BIO_free(input_);
  openssl_.BIO_free(output_);
}

void Tls12Layer::attach(SSL* session) {
  // The session owns a reference to each.
  openssl_.BIO_up_ref(input_);
  openssl_.BIO_up_ref(output_);
  openssl_.SSL_set_bio(session, input_, output_);
}

void Tls12Layer::clear() {
  openssl_.BIO_ctrl(input_, BIO_CTRL_RESET, 0, nullptr);
  openssl_.BIO_ctrl(output_, BIO_CTRL_RESET, 0, nullptr);
  openssl_.ERR_clear_error();
}

size_t Tls12Layer::take_output(uint8_t* out, size_t size) {
  const int taken = openssl_.BIO_read(output_, out, static_cast<int>(size));
  return static_cast<size_t>(std::max(taken, 0));
}

TlsInput Tls12Layer::read(SSL* session, uint8_t* bytes, size_t size) {
  TlsInput input;
  alert_of_ = nullptr;
  bool is_bad = false;
  // Only whole records, so that no bytes stay in OpenSSL: those of slow peers have a budget.
  input.consumed = whole_records(bytes, size, &is_bad);
  if (input.consumed == 0) return input;
  clear();
  openssl_.BIO_write(input_, bytes, static_cast<int>(input.consumed));
  int result = 0;
  do {
    input.data_bytes += static_cast<size_t>(result);
    const size_t room = input.consumed - input.data_bytes;
    result = openssl_.SSL_read(session, bytes + input.data_bytes, static_cast<int>(room));
  } while (result > 0);
  input.end = end_of(session, result);
  // OpenSSL answers a peer that wants to negotiate again with a warning.
  const long answer = openssl_.BIO_ctrl(output_, BIO_CTRL_PENDING, 0, nullptr);
  if (input.end == TlsEnd::kNone && (is_bad || answer > 0)) input.end = TlsEnd::kBroken;
  if (input.end == TlsEnd::kBroken) {
    input.alert = TlsAlert::kUnexpectedMessage;
    alert_.resize(static_cast<size_t>(std::max(answer, 0L)));
    take_output(reinterpret_cast<uint8_t*>(alert_.data()), alert_.size());
    alert_of_ = session;
  }
  clear();
  return input;
}

/// Why SSL_read() gave no more data.
TlsEnd Tls12Layer::end_of(const SSL* session, int result) const {
  switch (openssl_.SSL_get_error(session, result)) {
    case SSL_ERROR_WANT_READ:
      return TlsEnd::kNone;
    case SSL_ERROR_ZERO_RETURN:
      return TlsEnd::kClosed;
    default: {
      const bool has_alert = (openssl_.SSL_get_shutdown(session) & SSL_RECEIVED_SHUTDOWN) != 0;
      return has_alert ? TlsEnd::kAlerted : TlsEnd::kBroken;
    }
  }
}

size_t Tls12Layer::seal(SSL* session, const iovec* parts, size_t count, uint8_t* out) {
  clear();
  const void* content = parts->iov_base;
  size_t size = parts->iov_len;
  if (count > 1) {
    // OpenSSL takes one part, and copies it before `out` gets the record.
    size = 0;
    for (size_t index = 0; index < count; ++index) {
      std::memcpy(out + size, parts[index].iov_base, parts[index].iov_len);
      size += parts[index].iov_len;
    }
    content = out;
  }
  const int written = openssl_.SSL_write(session, content, static_cast<int>(size));
  const bool is_whole = written > 0 && static_cast<size_t>(written) == size;
  const size_t sealed = is_whole ? take_output(out, size + kOverheadBytesMax) : 0;
  clear();
  return sealed;
}

size_t Tls12Layer::seal_alert(SSL* session, TlsAlert alert, uint8_t* out) {
  if (alert != TlsAlert::kCloseNotify) {
    if (alert_of_ != session) return 0;
    std::memcpy(out, alert_.data(), alert_.size());
    alert_of_ = nullptr;
    return alert_.size();
  }
  clear();
  openssl_.SSL_shutdown(session);
  const size_t sealed = take_output(out, kOverheadBytesMax);
  clear();
  return sealed;
}

}  // namespace megacomet

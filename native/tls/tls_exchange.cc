// Handshake, request and answer. See tls_exchange.h.
#include "tls/tls_exchange.h"

#include <utility>

#include "base/check.h"

namespace megacomet {

namespace {

uint8_t* begin_of(std::string* bytes) {
  return reinterpret_cast<uint8_t*>(bytes->data());
}

}  // namespace

TlsExchange::TlsExchange(Ref<TlsCertificates> certificates, TlsRecords* records)
    : records_(records), handshake_(std::make_unique<TlsHandshake>(std::move(certificates))) {}

TlsExchange::~TlsExchange() {
  records_->forget(&state_);
}

bool TlsExchange::feed(std::string_view bytes, std::string* output, std::string* data) {
  if (handshake_ == nullptr) {
    input_.append(bytes);
  } else if (!shake(bytes, output)) {
    return false;
  }
  const TlsInput input =
      records_->read(&state_, session_.get(), begin_of(&input_), input_.size(), 0);
  data->append(input_, 0, input.data_bytes);
  input_.erase(0, input.consumed);
  return input.end == TlsEnd::kNone;
}

/// A step of the handshake; its last one leaves the first records in `input_`.
bool TlsExchange::shake(std::string_view bytes, std::string* output) {
  if (!handshake_->is_ready()) return false;
  const HandshakeStatus status = handshake_->feed(openssl_bytes(bytes), bytes.size());
  output->append(handshake_->output());
  if (status != HandshakeStatus::kDone) return status == HandshakeStatus::kGoesOn;
  input_ = handshake_->rest();
  if (!records_->begin(handshake_.get(), &state_, &session_)) return false;
  handshake_.reset();
  return true;
}

std::string TlsExchange::seal(std::string_view answer) {
  MC_CHECK(is_open());
  std::string sealed;
  std::string record(TlsRecords::kSealedBytesMax, '\0');
  while (!answer.empty()) {
    const std::string_view content = answer.substr(0, TlsRecords::content_bytes_max(state_));
    const iovec part{const_cast<char*>(content.data()), content.size()};
    const size_t size = records_->seal(&state_, session_.get(), &part, 1, begin_of(&record));
    sealed.append(record, 0, size);
    answer.remove_prefix(content.size());
  }
  const size_t size =
      records_->seal_alert(&state_, session_.get(), TlsAlert::kCloseNotify, begin_of(&record));
  return sealed.append(record, 0, size);
}

}  // namespace megacomet

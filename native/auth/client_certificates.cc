// The table of certificates' identities. See client_certificates.h.
#include "auth/client_certificates.h"

#include "base/check.h"

namespace megacomet {

void ClientCertificates::add(int fd, const ClientCertificate& certificate) {
  MC_CHECK(is_on_ && records_.at(fd)->identity == SharedTexts::kNone);
  Claims claims;
  // A certificate has no grants, so the application is asked as about a client without a token.
  claims.is_by_decision = true;
  claims.user = certificate.subject;
  Record* record = records_.occupy(fd);
  record->identity = principals_->acquire(claims);
  record->issued_at_s = certificate.begins_at_s;
  record->ends_at_s = certificate.ends_at_s;
  restore(fd);
}

void ClientCertificates::forget(int fd) {
  if (!is_on_ || records_.at(fd)->identity == SharedTexts::kNone) return;
  principals_->release(records_.at(fd)->identity);
  records_.release(fd);
}

void ClientCertificates::restore(int fd) {
  if (!is_on_ || records_.at(fd)->identity == SharedTexts::kNone) return;
  const Record& record = *records_.at(fd);
  KnownToken known;
  known.identity = record.identity;
  known.issued_at_s = record.issued_at_s;
  principals_->set(fd, known, record.ends_at_s);
}

std::string_view ClientCertificates::user(int fd) {
  if (!is_on_ || records_.at(fd)->identity == SharedTexts::kNone) return {};
  return principals_->user_of(records_.at(fd)->identity);
}

}  // namespace megacomet

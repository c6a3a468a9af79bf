// Tests of signatures, with the examples of RFC 7515 (A.1 to A.3) and RFC 8037 (A.4).
#include "auth/token_keys.h"

#include <string>
#include <string_view>

#include "base/ascii.h"
#include "support/tokens.h"
#include "support/unit.h"

using namespace megacomet;
using unit::openssl;

namespace {

constexpr std::string_view kHs256Token =
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsD"
    "QogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gF"
    "WFOEjXk";
constexpr std::string_view kRs256Token =
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtc"
    "GxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOi"
    "Zj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_"
    "nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwu"
    "sC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywl"
    "VmtVrBp0igcN_IoypGlUPQGe77Rw";
constexpr std::string_view kEs256Token =
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtc"
    "GxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djx"
    "La8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
constexpr std::string_view kEdDsaToken =
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-0"
    "9PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

// The keys, in hex: a secret, and three SubjectPublicKeyInfo.
constexpr std::string_view kSecret =
    "0323354b2b0fa5bc837e0665777ba68f5ab328e6f054c928a90f84b2d2502ebfd3fb5a92d20647ef968ab4"
    "c377623d223d2e2172052e4f08c0cd9af567d080a3";
constexpr std::string_view kRsaKey =
    "30820122300d06092a864886f70d01010105000382010f003082010a0282010100a1f8160ae2e3c9b465ce"
    "8d2d656263362b927dbe29e1f02477fc1625cc90a136e38bd93497c5b6ea63dd7711e67c7429f956b0fb8a"
    "8f089adc4b69893cc1333f53edd019b87784252fec914fe4857769594bea4280d32c0f55bf62944f130396"
    "bc6e9bdf6ebdd2bda3678eeca0c668f701b38dbffb38c8342ce2fe6d27fade4a5a4874979dd4b9cf9adec4"
    "c75b05852c2c0f5ef8a5c1750392f944e8ed64c110c6b647609aa4783aeb9c6c9ad755313050638b83665c"
    "6f6f7a82a396702a1f641b82d3ebf2392219491fb686872c5716f50af8358d9a8b9d17c340728f7f87d89a"
    "18d8fcab67ad84590c2ecf759339363c07034d6f606f9e21e05456cae5e9a10203010001";
constexpr std::string_view kP256Key =
    "3059301306072a8648ce3d020106082a8648ce3d030107034200047fcdce2770f6c45d4183cbee6fdb4b7b"
    "580733357be9ef13bacf6e3c7bd15445c7f144cd1bbd9b7e872cdfedb9eeb9f4b3695d6ea90b24ad8a4623"
    "288588e5ad";
constexpr std::string_view kEd25519Key =
    "302a300506032b6570032100d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f70751"
    "1a";

std::string bytes_of(std::string_view hex) {
  std::string bytes;
  for (size_t at = 0; at < hex.size(); at += 2) {
    bytes += static_cast<char>(ascii::hex_value(hex[at]) << 4 | ascii::hex_value(hex[at + 1]));
  }
  return bytes;
}

TokenFault verify(TokenKeys* keys, std::string_view text) {
  SignedToken token;
  const TokenFault fault = parse_token(text, &token);
  return fault == TokenFault::kNone ? keys->verify(token) : fault;
}

/// The text with another character at a position.
std::string with_change(std::string_view text, size_t at) {
  std::string changed(text);
  changed[at] = changed[at] == 'A' ? 'B' : 'A';
  return changed;
}

struct Example {
  TokenAlgorithm algorithm;
  std::string_view token;
  std::string_view key;
};

constexpr Example kExamples[] = {
    {TokenAlgorithm::kHs256, kHs256Token, kSecret},
    {TokenAlgorithm::kRs256, kRs256Token, kRsaKey},
    {TokenAlgorithm::kEs256, kEs256Token, kP256Key},
    {TokenAlgorithm::kEdDsa, kEdDsaToken, kEd25519Key},
};

}  // namespace

TEST("the examples of the standards are verified, and no changed one is") {
  for (const Example& example : kExamples) {
    TokenKeys keys(openssl());
    EXPECT(keys.add(example.algorithm, "", bytes_of(example.key)) == nullptr);
    EXPECT(verify(&keys, example.token) == TokenFault::kNone);
    const size_t payload = example.token.find('.') + 1;
    const size_t signature = example.token.rfind('.') + 1;
    EXPECT(verify(&keys, with_change(example.token, payload)) == TokenFault::kSignature);
    EXPECT(verify(&keys, with_change(example.token, signature)) == TokenFault::kSignature);
    EXPECT(verify(&keys, with_change(example.token, signature + 40)) == TokenFault::kSignature);
    // Half a signature.
    EXPECT(verify(&keys, example.token.substr(0, signature + 20)) == TokenFault::kSignature);
  }
}

TEST("a key verifies tokens of its own algorithm only") {
  for (const Example& own : kExamples) {
    TokenKeys keys(openssl());
    EXPECT(keys.add(own.algorithm, "", bytes_of(own.key)) == nullptr);
    for (const Example& other : kExamples) {
      const bool is_own = other.algorithm == own.algorithm;
      EXPECT(verify(&keys, other.token) == (is_own ? TokenFault::kNone : TokenFault::kAlgorithm));
    }
  }
}

TEST("a public key never serves as a secret") {
  TokenKeys keys(openssl());
  EXPECT(keys.add(TokenAlgorithm::kRs256, "", bytes_of(kRsaKey)) == nullptr);
  EXPECT(verify(&keys, kHs256Token) == TokenFault::kAlgorithm);
}

TEST("keys of another kind, too small ones and broken ones are not added") {
  TokenKeys keys(openssl());
  for (const Example& example : kExamples) {
    for (const Example& other : kExamples) {
      const bool is_hs256 = example.algorithm == TokenAlgorithm::kHs256;
      if (is_hs256 || other.algorithm == example.algorithm) continue;
      EXPECT(keys.add(example.algorithm, "", bytes_of(other.key)) != nullptr);
    }
    const std::string whole = bytes_of(example.key);
    EXPECT(keys.add(example.algorithm, "", whole.substr(0, 31)) != nullptr);
    EXPECT(keys.add(example.algorithm, "", "") != nullptr);
    if (example.algorithm != TokenAlgorithm::kHs256) {
      EXPECT(keys.add(example.algorithm, "", whole + '\0') != nullptr);
    }
  }
  EXPECT(verify(&keys, kHs256Token) == TokenFault::kAlgorithm);
}

TEST("of several keys the one with the token's name is used, or any without a name") {
  TokenKeys keys(openssl());
  const std::string secret = bytes_of(kSecret);
  EXPECT(keys.add(TokenAlgorithm::kHs256, "old", std::string(32, 'x')) == nullptr);
  EXPECT(verify(&keys, kHs256Token) == TokenFault::kSignature);
  EXPECT(keys.add(TokenAlgorithm::kHs256, "new", secret) == nullptr);
  EXPECT(verify(&keys, kHs256Token) == TokenFault::kNone);
  SignedToken named;
  EXPECT(parse_token(kHs256Token, &named) == TokenFault::kNone);
  named.key_id = "new";
  EXPECT(keys.verify(named) == TokenFault::kNone);
  named.key_id = "old";
  EXPECT(keys.verify(named) == TokenFault::kSignature);
  named.key_id = "../../new";
  EXPECT(keys.verify(named) == TokenFault::kUnknownKey);
  keys.clear();
  EXPECT(verify(&keys, kHs256Token) == TokenFault::kAlgorithm);
}

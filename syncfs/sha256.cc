#include "syncfs/sha256.h"

#include <openssl/evp.h>

#include <new>

namespace towline::syncfs {
namespace {

// Fetched once: EVP_sha256() would be looked up again at every init.
const EVP_MD* algorithm() {
  static const EVP_MD* const fetched = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return fetched != nullptr ? fetched : EVP_sha256();
}

void begin(EVP_MD_CTX* context) {
  if (EVP_DigestInit_ex2(context, algorithm(), nullptr) != 1) throw std::bad_alloc();
}

}  // namespace

void Sha256::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  if (context_ == nullptr) throw std::bad_alloc();
  begin(context_.get());
}

Sha256::~Sha256() = default;

void Sha256::update(Bytes bytes) {
  if (EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) != 1) throw std::bad_alloc();
}

BlobId Sha256::finish() {
  BlobId::Bytes digest;
  if (EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(digest.data()),
                         nullptr) != 1) {
    throw std::bad_alloc();
  }
  begin(context_.get());
  return BlobId(digest);
}

BlobId blob_id_of(Bytes bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.finish();
}

}  // namespace towline::syncfs

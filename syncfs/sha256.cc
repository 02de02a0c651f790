#include "syncfs/sha256.h"

#include <openssl/evp.h>

#include <new>

namespace towline::syncfs {
namespace {

// EVP calls on a valid context with a built-in digest fail only for want of memory.
void require(int ok) {
  if (ok != 1) throw std::bad_alloc();
}

}  // namespace

void Sha256::Free::operator()(evp_md_ctx_st* context) const noexcept { EVP_MD_CTX_free(context); }

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  require(context_ ? 1 : 0);
  require(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr));
}

void Sha256::update(Bytes bytes) {
  require(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()));
}

BlobId Sha256::finish() {
  BlobId::Bytes digest;
  require(
      EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(digest.data()), nullptr));
  require(EVP_DigestInit_ex(context_.get(), nullptr, nullptr));
  return BlobId(digest);
}

BlobId blob_id_of(Bytes bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.finish();
}

}  // namespace towline::syncfs

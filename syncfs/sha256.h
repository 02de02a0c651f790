#pragma once

#include "protocol/ids.h"
#include "syncfs/content.h"

#include <memory>

struct evp_md_ctx_st;

namespace towline::syncfs {

/// SHA-256 of bytes that come in parts. One thread at a time.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(Bytes bytes);
  /// The digest of everything so far; afterwards the object is as new.
  BlobId finish();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

BlobId blob_id_of(Bytes bytes);

}  // namespace towline::syncfs

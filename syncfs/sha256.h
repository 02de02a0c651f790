#pragma once

#include "protocol/ids.h"
#include "syncfs/content.h"

#include <memory>

struct evp_md_ctx_st;

namespace towline::syncfs {

/// The hash that names blobs, fed piece by piece. One thread at a time.
class Sha256 {
 public:
  Sha256();
  void update(Bytes bytes);

  /// The id of all bytes given; afterwards it begins anew.
  BlobId finish();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const noexcept;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

BlobId blob_id_of(Bytes bytes);

}  // namespace towline::syncfs

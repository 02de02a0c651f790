#pragma once

#include "syncfs/content.h"

#include <google/protobuf/message_lite.h>

#include <string>

namespace towline::syncfs {

/// Cuts decompressed flight bytes into length-prefixed messages (the framing of
/// protocol/message_stream.h). Pure; holds at most one record and one piece.
class RecordReader {
 public:
  void feed(Bytes bytes);

  /// Parses the next whole message; false when more bytes are needed. Throws
  /// Errc::too_large or Errc::malformed; then the peer is broken.
  bool next(google::protobuf::MessageLite& into);

 private:
  std::string buffer_;
  std::size_t consumed_ = 0;
};

}  // namespace towline::syncfs

#pragma once

#include "protocol/error.h"
#include "syncfs/content.h"

#include <cstdint>
#include <memory>
#include <string>

namespace towline::syncfs {

/// The flight's one long zstd stream: long-distance matching, flushed where the caller says.
class ZstdEncoder {
 public:
  struct Options {
    int level = 3;
    int window_log = 25;  // 32 MiB: what the decoder must hold
    bool long_distance = true;
  };
  explicit ZstdEncoder(const Options& options);
  ~ZstdEncoder();
  /// Appends compressed bytes to `out`; the encoder may keep some until flush or end.
  void write(Bytes bytes, std::string& out);
  void flush(std::string& out);
  void end(std::string& out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class ZstdDecoder {
 public:
  explicit ZstdDecoder(int window_log_max);
  ~ZstdDecoder();
  /// Gives what `bytes` expand to to `sink`, in pieces of at most 128 KiB.
  Result<void> feed(Bytes bytes, ByteSink& sink);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// One frame of `data` with `prefix` as the content before it.
std::string zstd_with_prefix(Bytes data, Bytes prefix, int level);

/// The inverse; the outcome has exactly `size` bytes, or it is an error.
Result<std::string> unzstd_with_prefix(Bytes frame, Bytes prefix, std::size_t size);

}  // namespace towline::syncfs

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace towline::syncfs {

using Bytes = std::span<const std::byte>;

/// Random access to immutable bytes: a stored blob, a spooled file, a string.
/// Any one thread at a time. Reads block on disk: workers only.
class ContentSource {
 public:
  virtual ~ContentSource() = default;
  virtual std::uint64_t size() const = 0;

  /// Fills `into` from `offset` on; both must lie within size(). Throws Error.
  virtual void read_at(std::uint64_t offset, std::span<std::byte> into) const = 0;

  /// The bytes themselves where they are in memory (a string, a mapping), else empty.
  virtual Bytes view() const { return {}; }
};

class MemorySource final : public ContentSource {
 public:
  explicit MemorySource(Bytes bytes) : bytes_(bytes) {}  // not owned
  std::uint64_t size() const override { return bytes_.size(); }
  void read_at(std::uint64_t offset, std::span<std::byte> into) const override;
  Bytes view() const override { return bytes_; }

 private:
  Bytes bytes_;
};

/// Takes bytes as they come, in order. May block; may throw to stop the producer.
class ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual void write(Bytes bytes) = 0;
};

class StringSink final : public ByteSink {
 public:
  explicit StringSink(std::string& out) : out_(out) {}
  void write(Bytes bytes) override {
    out_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }

 private:
  std::string& out_;
};

/// Reads a source from its start to its end in pieces of bounded size.
std::string read_all(const ContentSource& source, std::uint64_t size_max);

}  // namespace towline::syncfs

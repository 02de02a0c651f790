#include "syncfs/delta_record.h"

#include "syncfs/chunk_delta.h"
#include "syncfs/rsync_delta.h"

#include <algorithm>

namespace towline::syncfs {
namespace {

/// Cuts a delta that is written in pieces of any size into DeltaPart records.
class DeltaSink final : public ByteSink {
 public:
  DeltaSink(const DeltaTarget& target, wire::DeltaPart::Scheme scheme, const EmitRecord& emit)
      : emit_(emit) {
    wire::DeltaPart& part = *record_.mutable_delta();
    part.set_scheme(scheme);
    *part.mutable_base() = target.base;
    part.set_size(target.size);
    part.set_target(target.id);
  }

  void write(Bytes bytes) override {
    while (!bytes.empty()) {
      std::string& data = *record_.mutable_delta()->mutable_data();
      const std::size_t taken = std::min(bytes.size(), kFlightPartMax - data.size());
      data.append(reinterpret_cast<const char*>(bytes.data()), taken);
      bytes = bytes.subspan(taken);
      if (data.size() == kFlightPartMax) emit();
    }
  }

  void end(bool is_good) {
    record_.mutable_delta()->set_last(true);
    record_.mutable_delta()->set_abandoned(!is_good);
    if (!is_good && !has_emitted_) return;  // nothing went out: nothing to take back
    emit();
  }

 private:
  void emit() {
    emit_(record_);
    has_emitted_ = true;
    record_.Clear();
    record_.mutable_delta();
  }

  const EmitRecord& emit_;
  wire::FlightRecord record_;
  bool has_emitted_ = false;
};

}  // namespace

bool send_chunk_delta(const DeltaTarget& target, const ContentSource& content,
                      const ContentSource& old, int level, const EmitRecord& emit) {
  DeltaSink sink(target, wire::DeltaPart::CHUNKS, emit);
  const bool is_good = encode_chunk_delta(content, make_chunk_map(old), &old, level, sink);
  sink.end(is_good);
  return is_good;
}

bool send_rsync_delta(const DeltaTarget& target, const ContentSource& content,
                      const std::string& signature, const EmitRecord& emit) {
  DeltaSink sink(target, wire::DeltaPart::RSYNC, emit);
  const bool is_good = rsync_delta(std::as_bytes(std::span(signature)), content, sink);
  sink.end(is_good);
  return is_good;
}

void for_each_part(const ContentSource& content,
                   const std::function<void(Bytes, bool last)>& take) {
  std::string buffer(std::min<std::uint64_t>(kFlightPartMax, content.size()), '\0');
  std::uint64_t offset = 0;
  do {
    const auto part = std::as_writable_bytes(std::span(buffer))
                          .first(std::min<std::uint64_t>(buffer.size(), content.size() - offset));
    content.read_at(offset, part);
    offset += part.size();
    take(part, offset == content.size());
  } while (offset < content.size());
}

int group_level(std::uint64_t bytes) { return bytes <= (512 << 10) ? 19 : 9; }

}  // namespace towline::syncfs

#include "syncfs/blob_store_impl.h"
#include "syncfs/sha256.h"

#include <cassert>

namespace towline::syncfs {

struct BlobStore::Spool::State {
  BlobStore& store;
  Sha256 hash;
  std::string memory;
  std::unique_ptr<LooseDraft> draft;  // has everything once there is one
  std::optional<BlobId> id;
  std::unique_ptr<ContentSource> content;

  void spill() {
    draft = std::make_unique<LooseDraft>(store.impl_->options.dir / "tmp");
    draft->append(std::as_bytes(std::span(memory)));
    std::string().swap(memory);
  }
};

BlobStore::Spool::Spool(BlobStore& store) : state_(new State{store, {}, {}, {}, {}, {}}) {}

BlobStore::Spool::~Spool() = default;

void BlobStore::Spool::write(Bytes bytes) {
  State& state = *state_;
  assert(!state.id);
  state.hash.update(bytes);
  if (!state.draft && state.memory.size() + bytes.size() <= kSpoolMemoryMax) {
    StringSink(state.memory).write(bytes);
    return;
  }
  state.store.impl_->naming_the_disk([&] {
    if (!state.draft) state.spill();
    state.draft->append(bytes);
  });
}

const BlobId& BlobStore::Spool::finish() {
  State& state = *state_;
  assert(!state.id);
  state.id = state.hash.finish();
  if (state.draft) {
    state.content = state.draft->source();
  } else {
    state.content = std::make_unique<MemorySource>(std::as_bytes(std::span(state.memory)));
  }
  return *state.id;
}

const ContentSource& BlobStore::Spool::content() const {
  assert(state_->content);
  return *state_->content;
}

void BlobStore::Spool::commit() {
  State& state = *state_;
  assert(state.id);
  Impl& impl = *state.store.impl_;
  impl.naming_the_disk([&] {
    if (state.draft) return impl.put_loose(*state.id, *state.draft);
    if (state.memory.size() < kLooseMin) {
      return impl.put_small(*state.id, std::as_bytes(std::span(state.memory)));
    }
    LooseDraft draft(impl.options.dir / "tmp");  // exactly the largest that memory takes
    draft.append(std::as_bytes(std::span(state.memory)));
    impl.put_loose(*state.id, draft);
  });
}

}  // namespace towline::syncfs

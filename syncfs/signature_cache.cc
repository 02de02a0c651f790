#include "syncfs/signature_cache.h"

#include "syncfs/sqlite.h"

#include <mutex>

namespace towline::syncfs {

struct SignatureCache::Impl {
  explicit Impl(const std::filesystem::path& file)
      : database(file), schema(database), select(database, "SELECT bytes FROM signatures WHERE id = ?1"),
        insert(database, "INSERT OR REPLACE INTO signatures (id, bytes) VALUES (?1, ?2)"),
        total(database, "SELECT coalesce(sum(length(bytes)), 0) FROM signatures"),
        drop_oldest(database,
                    "DELETE FROM signatures WHERE rowid IN "
                    "(SELECT rowid FROM signatures ORDER BY rowid LIMIT 1)") {}

  struct Schema {
    explicit Schema(Database& of) {
      of.exec("CREATE TABLE IF NOT EXISTS signatures (id BLOB NOT NULL UNIQUE, bytes BLOB NOT NULL)");
    }
  };

  std::uint64_t bytes() {
    const StatementScope scope(total);
    total.step();
    return total.number(0);
  }

  std::mutex mutex;
  Database database;
  Schema schema;
  Statement select, insert, total, drop_oldest;
};

SignatureCache::SignatureCache(const std::filesystem::path& file) {
  try {
    impl_ = std::make_unique<Impl>(file);
  } catch (const Error& failure) {
    if (failure.code() != Errc::corrupt) throw;
    set_database_aside(file, failure);
    impl_ = std::make_unique<Impl>(file);
  }
}

SignatureCache::~SignatureCache() = default;

std::optional<std::string> SignatureCache::find(const BlobId& id) const {
  const std::lock_guard lock(impl_->mutex);
  const StatementScope scope(impl_->select);
  impl_->select.bind(1, Bytes(id.bytes()));
  if (!impl_->select.step()) return std::nullopt;
  return impl_->select.text(0);
}

void SignatureCache::put(const BlobId& id, const std::string& signature) {
  const std::lock_guard lock(impl_->mutex);
  impl_->insert.bind(1, Bytes(id.bytes())).bind(2, std::string_view(signature)).run();
  while (impl_->bytes() > kBytesMax) impl_->drop_oldest.run();
}

}  // namespace towline::syncfs

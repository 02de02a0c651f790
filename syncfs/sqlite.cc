#include "syncfs/sqlite.h"

#include "protocol/log.h"

#include <sqlite3.h>

#include <cerrno>

namespace towline::syncfs {
namespace {

constexpr int kBusyTimeoutMs = 10'000;  // two connections of ours meet only at checkpoints

boost::system::error_code error_of(sqlite3* db) {
  const int code = sqlite3_errcode(db) & 0xff;
  if (code == SQLITE_FULL) return Errc::no_space;
  if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) return Errc::corrupt;
  const int os = sqlite3_system_errno(db);
  if (os == ENOSPC || os == EDQUOT) return Errc::no_space;
  return {os != 0 ? os : EIO, boost::system::generic_category()};
}

}  // namespace

void Database::Close::operator()(sqlite3* db) const noexcept { sqlite3_close_v2(db); }

Database::Database(const std::filesystem::path& file) : file_(file) {
  sqlite3* db = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  const int code = sqlite3_open_v2(file.c_str(), &db, flags, nullptr);
  db_.reset(db);
  if (db == nullptr) throw std::bad_alloc();
  if (code != SQLITE_OK) fail("open");
  sqlite3_busy_timeout(db, kBusyTimeoutMs);
}

void Database::exec(const char* sql) {
  if (sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr) == SQLITE_OK) return;
  fail(std::string_view(sql).substr(0, 40));  // a schema is long; its begin tells which
}

std::uint64_t Database::changes() const {
  return static_cast<std::uint64_t>(sqlite3_changes64(db_.get()));
}

void Database::fail(std::string_view doing) const {
  sqlite3* db = db_.get();
  throw Error(error_of(db), fmt::format("{}: {}: {}", file_.native(), doing, sqlite3_errmsg(db)));
}

void Statement::Finalize::operator()(sqlite3_stmt* statement) const noexcept {
  sqlite3_finalize(statement);
}

Statement::Statement(Database& database, const char* sql) : database_(database) {
  sqlite3_stmt* made = nullptr;
  const int code =
      sqlite3_prepare_v3(database.handle(), sql, -1, SQLITE_PREPARE_PERSISTENT, &made, nullptr);
  statement_.reset(made);
  if (code != SQLITE_OK) database.fail(sql);
}

Statement& Statement::bind(int index, std::uint64_t value) {
  if (sqlite3_bind_int64(statement_.get(), index, static_cast<sqlite3_int64>(value)) != SQLITE_OK) {
    database_.fail("bind");
  }
  return *this;
}

Statement& Statement::bind(int index, Bytes value) {
  // A null pointer would bind NULL, but no bytes are a value too.
  const void* data = value.empty() ? "" : static_cast<const void*>(value.data());
  if (sqlite3_bind_blob64(statement_.get(), index, data, value.size(), SQLITE_STATIC) !=
      SQLITE_OK) {
    database_.fail("bind");
  }
  return *this;
}

Statement& Statement::bind(int index, std::string_view value) {
  return bind(index, std::as_bytes(std::span(value)));
}

bool Statement::step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) database_.fail(sqlite3_sql(statement_.get()));
  return false;
}

void Statement::reset() noexcept { sqlite3_reset(statement_.get()); }

void Statement::run() {
  const StatementScope scope(*this);
  step();
}

std::uint64_t Statement::number(int column) const {
  return static_cast<std::uint64_t>(sqlite3_column_int64(statement_.get(), column));
}

Bytes Statement::bytes(int column) const {
  const auto* data = static_cast<const std::byte*>(sqlite3_column_blob(statement_.get(), column));
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

std::string Statement::text(int column) const {
  const Bytes all = bytes(column);
  return {reinterpret_cast<const char*>(all.data()), all.size()};
}

Transaction::Transaction(Database& database) : database_(database) {
  database_.exec("BEGIN IMMEDIATE");
}

Transaction::~Transaction() {
  // A failed rollback needs no word: SQLite has rolled back by itself, or will when it is closed.
  if (open_) sqlite3_exec(database_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
}

void Transaction::commit() {
  database_.exec("COMMIT");
  open_ = false;
}

void set_database_aside(const std::filesystem::path& file, const Error& why) {
  const auto beside = [&file](const char* suffix) {
    auto path = file;
    return path += suffix;
  };
  log::warn("set {} aside as {}: {}", file.native(), beside(".corrupt").native(), why.what());
  std::filesystem::rename(file, beside(".corrupt"));
  std::filesystem::remove(beside("-wal"));
  std::filesystem::remove(beside("-shm"));
}

}  // namespace towline::syncfs

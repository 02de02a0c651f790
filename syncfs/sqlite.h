#pragma once

#include "protocol/error.h"
#include "syncfs/content.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace towline::syncfs {

/// One SQLite connection. Any one thread at a time: the owner has the mutex.
/// Failures throw Error naming the file: Errc::no_space when the disk is full,
/// Errc::corrupt when the file is no database or damaged, else errno.
class Database {
 public:
  /// Opens the file or makes it.
  explicit Database(const std::filesystem::path& file);

  void exec(const char* sql);
  std::uint64_t changes() const;  // rows that the last statement changed

  sqlite3* handle() const noexcept { return db_.get(); }
  [[noreturn]] void fail(std::string_view doing) const;

 private:
  struct Close {
    void operator()(sqlite3* db) const noexcept;
  };
  std::filesystem::path file_;
  std::unique_ptr<sqlite3, Close> db_;
};

/// One prepared statement, kept and used again. The database outlives it.
/// Parameters count from 1, columns from 0. Bound bytes must live until the
/// statement is reset; column bytes live until the next step or reset.
class Statement {
 public:
  Statement(Database& database, const char* sql);

  Statement& bind(int index, std::uint64_t value);
  Statement& bind(int index, Bytes value);
  Statement& bind(int index, std::string_view value);  // stored as a blob: bytes, not text

  bool step();  // true: there is a row
  void reset() noexcept;

  /// For statements without rows: step and reset, also when it throws.
  void run();

  std::uint64_t number(int column) const;
  Bytes bytes(int column) const;
  std::string text(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const noexcept;
  };
  Database& database_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

/// Resets a statement at the end of a scope, whatever happens in it.
class StatementScope {
 public:
  explicit StatementScope(Statement& statement) : statement_(statement) {}
  ~StatementScope() { statement_.reset(); }
  StatementScope(const StatementScope&) = delete;
  StatementScope& operator=(const StatementScope&) = delete;

 private:
  Statement& statement_;
};

/// BEGIN IMMEDIATE; rolls back unless committed.
class Transaction {
 public:
  explicit Transaction(Database& database);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  Database& database_;
  bool open_ = true;
};

/// Renames a damaged database and removes its -wal and -shm, with a log line,
/// so that a new one can be made at its place. For records whose loss is harmless.
void set_database_aside(const std::filesystem::path& file, const Error& why);

}  // namespace towline::syncfs

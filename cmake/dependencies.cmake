# Third-party libraries come as archives where Debian has them: towline-agent is
# copied to other hosts and must not need theirs.
set(CMAKE_FIND_LIBRARY_SUFFIXES .a .so)
set(OPENSSL_USE_STATIC_LIBS ON)
set(Protobuf_USE_STATIC_LIBS ON)
set(Boost_USE_STATIC_LIBS ON)
set(ZLIB_USE_STATIC_LIBS ON)

find_package(Threads REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS iostreams json)
find_package(OpenSSL REQUIRED)
find_package(Protobuf REQUIRED)
find_package(CLI11 REQUIRED)
find_package(ZLIB REQUIRED)

# towline_archive(target HEADER LIBRARY): for packages without CMake files.
function(towline_archive target header library)
  find_path(${library}_INCLUDE ${header} REQUIRED)
  find_library(${library}_LIBRARY ${library} REQUIRED)
  add_library(${target} INTERFACE IMPORTED)
  target_include_directories(${target} INTERFACE ${${library}_INCLUDE})
  target_link_libraries(${target} INTERFACE ${${library}_LIBRARY})
endfunction()
towline_archive(dep::nghttp2 nghttp2/nghttp2.h nghttp2)
towline_archive(dep::librsync librsync.h rsync)
towline_archive(dep::zstd zstd.h zstd)
towline_archive(dep::lz4 lz4.h lz4)
towline_archive(dep::xxhash xxhash.h xxhash)
towline_archive(dep::sqlite3 sqlite3.h sqlite3)
towline_archive(dep::bz2 bzlib.h bz2)
towline_archive(dep::lzma lzma.h lzma)
find_library(b2_LIBRARY b2 REQUIRED)
target_link_libraries(dep::librsync INTERFACE ${b2_LIBRARY} dep::bz2 ZLIB::ZLIB)
target_link_libraries(dep::sqlite3 INTERFACE Threads::Threads ${CMAKE_DL_LIBS} m)

# Debian has no archives of spdlog and fmt: header-only, and spdlog in log.cc alone.
find_package(spdlog REQUIRED)
add_library(dep::fmt INTERFACE IMPORTED)
target_compile_definitions(dep::fmt INTERFACE FMT_HEADER_ONLY=1)

add_library(towline_asio STATIC protocol/impl/asio_impl.cc)
target_compile_definitions(towline_asio PUBLIC BOOST_ASIO_SEPARATE_COMPILATION
  BOOST_BEAST_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED)
target_link_libraries(towline_asio PUBLIC Boost::boost OpenSSL::SSL Threads::Threads)
target_compile_features(towline_asio PUBLIC cxx_std_20)

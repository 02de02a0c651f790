option(TOWLINE_WERROR "Treat warnings as errors" OFF)
option(TOWLINE_FUZZ "Build the libFuzzer targets (clang only)" OFF)
option(TOWLINE_COVERAGE "Instrument for coverage (gcov)" OFF)
set(TOWLINE_SANITIZE "" CACHE STRING "Sanitizers for the whole build, e.g. address,undefined")

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

add_library(towline_options INTERFACE)
target_compile_features(towline_options INTERFACE cxx_std_20)
target_include_directories(towline_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(towline_options INTERFACE -Wall -Wextra -Wshadow -Woverloaded-virtual
  $<$<BOOL:${TOWLINE_WERROR}>:-Werror>)
if(TOWLINE_SANITIZE)
  add_compile_options(-fsanitize=${TOWLINE_SANITIZE} -fno-omit-frame-pointer -g1 -O1)
  add_link_options(-fsanitize=${TOWLINE_SANITIZE})
  if(TOWLINE_SANITIZE MATCHES thread AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    add_compile_options(-Wno-tsan) # Asio uses atomic_thread_fence
  endif()
endif()
if(TOWLINE_COVERAGE)
  add_compile_options(--coverage)
  add_link_options(--coverage)
endif()
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g") # asserts stay on
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# towline_library(name LINKS...): one static library per folder, of every source in
# it but main.cc.
function(towline_library name)
  cmake_parse_arguments(ARG "" "" "LINKS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS *.cc)
  list(FILTER sources EXCLUDE REGEX "/main\\.cc$")
  add_library(${name} STATIC ${sources} ${CMAKE_CURRENT_BINARY_DIR}/${name}.cc)
  file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/${name}.cc "")
  target_link_libraries(${name} PUBLIC towline_options ${ARG_LINKS})
endfunction()

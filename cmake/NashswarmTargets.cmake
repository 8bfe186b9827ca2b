# One CMake target per folder, all with the same rules: the repository root is the only include path, warnings are
# errors, and floating-point contraction is off so that a scalar kernel and its SIMD twin round alike.
include(${CMAKE_CURRENT_LIST_DIR}/Dependencies.cmake)

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

# -Wno-restrict: GCC 12 reports "a" + std::string falsely (GCC bug 105651).
add_library(nashswarm_flags INTERFACE)
target_include_directories(nashswarm_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(nashswarm_flags INTERFACE
  -Wall -Wextra -Werror -Wno-unused-parameter -Wno-missing-field-initializers -Wno-restrict -ffp-contract=off)
target_compile_definitions(nashswarm_flags INTERFACE NASHSWARM_VERSION="${PROJECT_VERSION}")
target_link_libraries(nashswarm_flags INTERFACE Threads::Threads)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(nashswarm_flags INTERFACE -Wno-unknown-warning-option)
endif()
if(NASHSWARM_ASAN OR NASHSWARM_TSAN)
  # GCC sees uninitialized values where a sanitizer's code stands between a value and the test for it; its manual says so.
  target_compile_options(nashswarm_flags INTERFACE -Wno-maybe-uninitialized)
endif()
if(NASHSWARM_ASAN OR NASHSWARM_FUZZ)
  target_compile_options(nashswarm_flags INTERFACE
    -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_link_options(nashswarm_flags INTERFACE -fsanitize=address,undefined)
endif()
if(NASHSWARM_TSAN)
  # protobuf's headers lay maps out differently where this macro says that the library was instrumented, which it was not.
  target_compile_options(nashswarm_flags INTERFACE -fsanitize=thread -fno-omit-frame-pointer -U__SANITIZE_THREAD__)
  target_link_options(nashswarm_flags INTERFACE -fsanitize=thread)
endif()
if(NASHSWARM_FUZZ)
  target_compile_options(nashswarm_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# nashswarm_library(NAME SOURCES... [DEPS target...] [PRIVATE_DEPS target...])
function(nashswarm_library name)
  cmake_parse_arguments(ARG "" "" "DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PUBLIC nashswarm_flags ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS})
endfunction()

# nashswarm_program(NAME SOURCES... [DEPS target...])
function(nashswarm_program name)
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  add_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE nashswarm_flags ${ARG_DEPS})
endfunction()

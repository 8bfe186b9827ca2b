// Small helpers for tests that touch files.
#ifndef NASHSWARM_TESTS_SUPPORT_FILES_H_
#define NASHSWARM_TESTS_SUPPORT_FILES_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "core/base/file.h"

namespace nashswarm::testing {

// A fresh directory, removed with the object; aborts when it cannot be made.
TemporaryDirectory MakeTemporaryDirectory();

// Plain write, no durability. Aborts on failure.
void WriteTestFile(const std::string& path, std::string_view content);
std::string ReadTestFile(const std::string& path);

// A safetensors image: 8 length bytes, `header`, `data`.
std::string SafetensorsImage(std::string_view header, std::string_view data);

// tests/data of the source tree.
std::string TestData(const std::string& name);

}  // namespace nashswarm::testing

// The message of a failed status, for EXPECT_TRUE(x.ok()) << Message(x).
#define NS_EXPECT_OK(expr)                                     \
  do {                                                         \
    const absl::Status ns_status = (expr);                     \
    EXPECT_TRUE(ns_status.ok()) << ns_status;                  \
  } while (false)
#define NS_ASSERT_OK(expr)                                     \
  do {                                                         \
    const absl::Status ns_status = (expr);                     \
    ASSERT_TRUE(ns_status.ok()) << ns_status;                  \
  } while (false)

#endif  // NASHSWARM_TESTS_SUPPORT_FILES_H_

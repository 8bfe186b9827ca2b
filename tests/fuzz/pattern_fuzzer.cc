// Rules of the form PATTERN=FORMAT: a pattern that is accepted is matched in bounded time and memory. Pattern, NUL, the name
// of a tensor; libFuzzer's limits of time and memory are the test.
#include <cstdlib>
#include <string>

#include "core/base/tensor_pattern.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  const size_t end = input.find('\0');
  const std::string name = end == std::string::npos ? "model.layers.10.self_attn.q_proj.weight" : input.substr(end + 1);
  const auto pattern = nashswarm::TensorPattern::Compile(input.substr(0, end));
  if (!pattern.ok()) return 0;
  // The whole name counts, with and without saying so.
  const auto anchored = nashswarm::TensorPattern::Compile("\\A(?:" + input.substr(0, end) + ")\\z");
  if (anchored.ok() && anchored->Matches(name) != pattern->Matches(name)) std::abort();
  return 0;
}

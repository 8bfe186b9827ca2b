// model.safetensors.index.json: whatever it names, no tensor may come from a file outside of the checkpoint's directory, and
// every tensor lies in the shard the index says. Beside the directory lies a file that must never be read.
#include <cstdlib>
#include <string>

#include "core/checkpoint/checkpoint.h"
#include "tests/support/files.h"

namespace {

using namespace nashswarm;

constexpr char kCanary = '\xc7';

struct Place {
  TemporaryDirectory root = testing::MakeTemporaryDirectory();
  std::string model = JoinPath(root.path(), "model");

  Place() {
    const auto shard = [](const std::string& tensor, char byte) {
      return testing::SafetensorsImage("{\"" + tensor + "\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}",
                                       std::string(4, byte));
    };
    testing::WriteTestFile(JoinPath(model, "a.safetensors"), shard("a", 1));
    testing::WriteTestFile(JoinPath(model, "sub/b.safetensors"), shard("b", 2));
    testing::WriteTestFile(JoinPath(root.path(), "c.safetensors"), shard("c", kCanary));
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Place place;
  testing::WriteTestFile(JoinPath(place.model, "model.safetensors.index.json"), {reinterpret_cast<const char*>(data), size});
  const auto checkpoint = checkpoint::Checkpoint::Open(place.model);
  if (!checkpoint.ok()) return 0;
  for (const checkpoint::SourceTensor& tensor : (*checkpoint)->tensors()) {
    if (tensor.file != (tensor.name == "a" ? "a.safetensors" : "sub/b.safetensors")) std::abort();
    for (const uint8_t byte : tensor.data) {
      if (static_cast<char>(byte) == kCanary) std::abort();
    }
  }
  return 0;
}

// Logits of tiny random models of every architecture as transformers computed them once (tests/interop/forward_interop.py
// --write).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>

#include "core/base/file.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/safetensors.h"
#include "core/forward/transformer.h"
#include "core/model/architecture.h"
#include "tests/support/files.h"

namespace nashswarm::forward {
namespace {

using ::nashswarm::testing::TestData;

std::vector<std::string> Cases() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(TestData("forward"))) {
    if (entry.is_directory()) names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

template <typename T>
std::vector<T> ReadTensor(const MappedFile& file, const checkpoint::SafetensorsHeader& header, const std::string& name) {
  for (const checkpoint::TensorEntry& entry : header.tensors) {
    if (entry.name != name) continue;
    std::vector<T> values((entry.end - entry.begin) / sizeof(T));
    std::memcpy(values.data(), file.bytes().data() + entry.begin, entry.end - entry.begin);
    return values;
  }
  return {};
}

TEST(RecordedLogitsTest, AreThoseOfTransformers) {
  EXPECT_GE(Cases().size(), 17u);
  for (const std::string& name : Cases()) {
    SCOPED_TRACE(name);
    const std::string directory = TestData("forward/" + name);
    const auto file = *MappedFile::Open(directory + ".logits.safetensors");
    const auto header = *checkpoint::ParseSafetensors(file->bytes(), name);
    const auto tokens = ReadTensor<int32_t>(*file, header, "tokens");
    const auto expected = ReadTensor<float>(*file, header, "logits");
    ASSERT_FALSE(expected.empty());

    const auto checkpoint = checkpoint::Checkpoint::Open(directory);
    NS_ASSERT_OK(checkpoint.status());
    const auto model = model::MapModel(**checkpoint);
    NS_ASSERT_OK(model.status());
    const auto transformer = Transformer::Open(WeightsOf(**checkpoint, *model), {});
    NS_ASSERT_OK(transformer.status());
    std::vector<float> hidden(tokens.size() * (*transformer)->width()), logits(expected.size());
    NS_ASSERT_OK((*transformer)->Run({tokens, 1, tokens.size()}, hidden.data(), nullptr));
    NS_ASSERT_OK((*transformer)->Logits(hidden.data(), tokens.size(), logits.data(), nullptr));
    double worst = 0;
    for (size_t i = 0; i < expected.size(); ++i) worst = std::max(worst, std::abs(static_cast<double>(logits[i]) - expected[i]));
    EXPECT_LE(worst, 1e-3);
    EXPECT_GT(*std::max_element(expected.begin(), expected.end()), 1);  // there is something to agree on
  }
}

}  // namespace
}  // namespace nashswarm::forward

// Baselines as files: what comes back, and what the files weigh.
#include "core/pipeline/baseline_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/base/half.h"
#include "core/base/status.h"
#include "core/quant/baseline.h"
#include "tests/support/files.h"
#include "tests/support/tiny_checkpoint.h"

namespace nashswarm::pipeline {
namespace {

using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::ReadTestFile;
using ::nashswarm::testing::TinyCheckpoint;
using ::nashswarm::testing::TinyGpt2;
using ::nashswarm::testing::TinyLlama;
using ::nashswarm::testing::WriteTestFile;

struct Stored {
  TemporaryDirectory directory = MakeTemporaryDirectory();
  OpenModel original, decoded;
  uint64_t bytes = 0;
  std::string path() const { return directory.path() + "/baseline.safetensors"; }
};

void Store(const TinyCheckpoint& checkpoint, const Baseline& baseline, int threads, Stored* out) {
  const std::string model = out->directory.path() + "/m", dense = out->directory.path() + "/dense";
  checkpoint.Write(model);
  absl::StatusOr<OpenModel> open = OpenAndMap(model);
  NS_ASSERT_OK(open.status());
  out->original = *std::move(open);
  NS_ASSERT_OK(WriteBaseline(out->original, baseline, out->path(), threads));
  out->bytes = *FileSize(out->path());
  NS_ASSERT_OK(UnpackBaseline(out->original, baseline, out->path(), dense, threads));
  absl::StatusOr<OpenModel> decoded = OpenAndMap(dense);
  NS_ASSERT_OK(decoded.status());
  out->decoded = *std::move(decoded);
}

// A matrix with outputs as rows, in the checkpoint's order.
std::vector<float> Rows(const model::MappedTensor& mapped) {
  const model::MappedTensor tensor = model::InCheckpointOrder(mapped);
  std::vector<float> values(tensor.weights());
  model::ReadRows(tensor, 0, tensor.rows, values.data());
  return values;
}

// Groups in plain floats; returns the bits.
uint64_t RoundInGroups(std::vector<float>* weights, uint64_t width, uint64_t group, int bits) {
  uint64_t count = 0;
  for (size_t row = 0; row < weights->size(); row += width) {
    for (size_t first = row; first < row + width; first += group) {
      const size_t end = std::min<size_t>(first + group, row + width);
      const auto lo = HalfToFloat(FloatToHalf(*std::min_element(weights->begin() + first, weights->begin() + end)));
      const float hi = *std::max_element(weights->begin() + first, weights->begin() + end);
      const float levels = static_cast<float>((1 << bits) - 1), step = HalfToFloat(FloatToHalf((hi - lo) / levels));
      for (size_t i = first; i < end; ++i) (*weights)[i] = lo + step * std::min(levels, std::max(0.0f, std::rint(((*weights)[i] - lo) / step)));
      count += 32 + (end - first) * static_cast<uint64_t>(bits);
    }
  }
  return count;
}

// What the baseline makes of a matrix; returns its bits, at most.
uint64_t Apply(const Baseline& baseline, std::vector<float>* weights, uint64_t width) {
  switch (baseline.method) {
    case Baseline::Method::kUniform: return 8 * quant::RoundUniform(*weights, baseline.bits, absl::MakeSpan(*weights));
    case Baseline::Method::kMagnitude:
      // The map's two rarer classes share a table, which costs 0.025 bits a weight; the table itself and the lanes come on top.
      return 8 * quant::RoundByMagnitude(*weights, absl::MakeSpan(*weights)) + weights->size() / 30 + 600;
    case Baseline::Method::kGroups: return RoundInGroups(weights, width, baseline.group, baseline.bits);
  }
  return 0;
}

TEST(BaselineFileTest, ComesBackRoundedAndWeighsItsCodes) {
  for (const TinyCheckpoint& checkpoint : {TinyGpt2(), TinyLlama("llama", false)}) {
    for (const Baseline& baseline : Baselines()) {
      Stored stored;
      Store(checkpoint, baseline, 2, &stored);
      if (HasFatalFailure()) return;
      uint64_t most = 0;
      for (size_t t = 0; t < stored.original.model.tensors.size(); ++t) {
        const model::MappedTensor& tensor = stored.original.model.tensors[t];
        if (tensor.source == nullptr) continue;
        std::vector<float> want = Rows(tensor);
        if (tensor.is_player()) {
          most += Apply(baseline, &want, model::InCheckpointOrder(tensor).row_weights) / 8 + 1;
        } else {
          for (float& x : want) x = HalfToFloat(FloatToHalf(x));
          most += 2 * want.size();
        }
        EXPECT_EQ(Rows(stored.decoded.model.tensors[t]), want) << baseline.name << ": " << tensor.source_name();
      }
      const uint64_t header = 200 * stored.original.model.tensors.size();
      EXPECT_LE(stored.bytes, most + header) << baseline.name;
      EXPECT_GT(stored.bytes, 9 * most / 10) << baseline.name;
    }
  }
}

TEST(BaselineFileTest, SameBytesAtAnyThreadCount) {
  for (const Baseline& baseline : Baselines()) {
    Stored one, three;
    Store(TinyGpt2(), baseline, 1, &one);
    Store(TinyGpt2(), baseline, 3, &three);
    EXPECT_EQ(ReadTestFile(one.path()), ReadTestFile(three.path())) << baseline.name;
  }
}

TEST(BaselineFileTest, AnotherMethodsFileIsRefused) {
  Stored stored;
  Store(TinyGpt2(), Baselines()[0], 1, &stored);
  for (size_t b = 1; b < Baselines().size(); ++b) {
    const absl::Status status = UnpackBaseline(stored.original, Baselines()[b], stored.path(), stored.directory.path() + "/x", 1);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << Baselines()[b].name << ": " << status;
  }
}

}  // namespace
}  // namespace nashswarm::pipeline

// Perplexities of a text as transformers computed them once (tests/interop/eval_interop.py --write).
#include <gtest/gtest.h>

#include "core/base/json.h"
#include "core/checkpoint/checkpoint.h"
#include "core/evaluate/score.h"
#include "core/evaluate/windows.h"
#include "core/model/architecture.h"
#include "tests/support/files.h"

namespace nashswarm::evaluate {
namespace {

using ::nashswarm::testing::ReadTestFile;
using ::nashswarm::testing::TestData;

TEST(RecordedPerplexityTest, IsThatOfTransformersInEveryProtocol) {
  const std::string directory = TestData("gpt2-wiki-6m"), text = ReadTestFile(TestData("text.txt"));
  const Json recorded = *ParseJson(ReadTestFile(TestData("text.perplexity.json")), "text.perplexity.json");
  const auto checkpoint = *checkpoint::Checkpoint::Open(directory);
  const model::Model model = *model::MapModel(*checkpoint);
  const auto tokenizer = *tokenizer::OpenTokenizer(directory, checkpoint->config());
  const auto transformer = *forward::Transformer::Open(forward::WeightsOf(*checkpoint, model), {});
  for (const Protocol protocol : {Protocol::kHalf, Protocol::kStrided, Protocol::kPadded64}) {
    WindowOptions options{.protocol = protocol};
    if (protocol == Protocol::kStrided) options.stride = 100;
    const auto windows = CutText(text, "text.txt", *tokenizer, transformer->context(), options);
    NS_ASSERT_OK(windows.status());
    const auto predictions = Predict(*transformer, *windows, [](uint64_t, uint64_t) { return absl::OkStatus(); });
    NS_ASSERT_OK(predictions.status());
    const auto score = ScorePredictions(*predictions, nullptr, *windows, 0);
    NS_ASSERT_OK(score.status());
    const Json& expected = recorded.at(std::string(NameOf(protocol)));
    EXPECT_EQ(score->tokens, expected.at("tokens")) << NameOf(protocol);
    EXPECT_NEAR(score->perplexity / expected.at("perplexity").get<double>(), 1, 1e-5) << NameOf(protocol);
  }
}

}  // namespace
}  // namespace nashswarm::evaluate

// What routing by the game must reach on a trained mixture of experts, on text it was not tuned on.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "core/base/file.h"
#include "core/checkpoint/checkpoint.h"
#include "core/route/expert_files.h"
#include "core/route/study.h"
#include "core/tokenizer/tokenizer.h"

namespace nashswarm::route {
namespace {

TEST(TrainedModelTest, AWarmCacheAndAnEvenLoadCostLessThanAPercent) {
  const char* source = std::getenv("NASHSWARM_SOURCE_DIR");
  const std::string shared = source == nullptr ? "" : std::string(source) + "/../shared";
  const std::string path = shared + "/models/moe-wiki-8m", text_path = shared + "/data/wikitext2/eval.txt";
  if (!IsDirectory(path) || !PathExists(text_path)) GTEST_SKIP() << "SKIPPED: no trained mixture of experts here";
  const auto checkpoint = checkpoint::Checkpoint::Open(path);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const auto mapping = model::MapModel(**checkpoint);
  const std::shared_ptr<const forward::Weights> weights = forward::WeightsOf(**checkpoint, *mapping);
  auto transformer = forward::Transformer::Open(weights, {});
  ASSERT_TRUE(transformer.ok()) << transformer.status();
  const auto tokenizer = tokenizer::OpenTokenizer(path, (*checkpoint)->config());
  const auto text = ReadFile(text_path, 1 << 24);
  const auto windows =
      evaluate::CutText(*text, "eval.txt", **tokenizer, (*transformer)->context(), {.max_tokens = 16384});
  ASSERT_TRUE(windows.ok()) << windows.status();
  const auto files = FindExperts(**checkpoint, *mapping);
  const auto model = RoutedModel::Make(weights, *std::move(transformer), files->sizes());
  ASSERT_TRUE(model.ok()) << model.status();

  StudyOptions options;
  options.router.game.similarity = routing::Similarity::kSquaredGate;
  options.router.game.weights.alpha = 0.02;
  options.max_loss = 0.01;
  options.sweep = true;
  for (const uint64_t size : model->sizes()) options.router.cache.capacity_bytes += size;
  options.router.cache.capacity_bytes /= 4;
  const auto findings =
      Study(*model, *windows, options, [](const std::string&, uint64_t, uint64_t) { return absl::OkStatus(); });
  ASSERT_TRUE(findings.ok()) << findings.status();
  const report::RouterRow &own = findings->report.routers[0], &game = findings->report.routers[1];
  EXPECT_LE(game.nll_change, 0.01);
  EXPECT_GE(game.hit_rate, 1.3 * own.hit_rate);
  EXPECT_LE(game.rounds, 10);
  EXPECT_EQ(game.nash_batches, game.batches);
  const report::RoutingSweep& prices = findings->report.sweeps[2];
  ASSERT_EQ(prices.parameter, "alpha");
  EXPECT_EQ(prices.points[0].nll_change, 0);
  EXPECT_EQ(prices.points[0].hit_rate, own.hit_rate);
  EXPECT_EQ(prices.points[0].load_variation, own.load_variation);
  for (size_t i = 1; i < prices.points.size(); ++i) {
    EXPECT_LT(prices.points[i].load_variation, prices.points[i - 1].load_variation) << prices.points[i].value;
    EXPECT_LE(prices.points[i].nll_change, 0.01) << prices.points[i].value;
    EXPECT_LE(prices.points[i].rounds, 10) << prices.points[i].value;
  }
}

}  // namespace
}  // namespace nashswarm::route

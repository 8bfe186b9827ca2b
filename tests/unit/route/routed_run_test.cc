#include "core/route/routed_run.h"

#include <gtest/gtest.h>

#include "core/base/status.h"
#include "tests/unit/route/tiny_model.h"

namespace nashswarm::route {
namespace {

RouterOptions Options(Chooser chooser) {
  RouterOptions options;
  options.chooser = chooser;
  options.game.similarity = routing::Similarity::kSquaredGate;
  options.batch = 16;
  options.cache.capacity_bytes = 1 << 20;
  return options;
}

TEST(RoutedRunTest, WithoutWeightsLossesAreThoseOfTheModelToTheBit) {
  for (const char* type : {"mixtral", "qwen2_moe", "qwen3_moe", "olmoe"}) {
    const TinyModel tiny(type);
    auto plain = tiny.Open();
    const std::vector<evaluate::Window> windows = TinyModel::Windows(3, 32);
    const auto predictions = evaluate::Predict(*plain, windows, NoProgress);
    const auto want = evaluate::ScorePredictions(*predictions, nullptr, windows, 2);
    ASSERT_TRUE(want.ok()) << want.status();
    const auto model = RoutedModel::Make(tiny.weights(), tiny.Open(), TinyModel::Sizes());
    ASSERT_TRUE(model.ok()) << model.status();
    for (const Chooser chooser : {Chooser::kModel, Chooser::kGame}) {
      const auto run = model->Run(windows, Options(chooser), NoProgress, 2);
      ASSERT_TRUE(run.ok()) << run.status();
      EXPECT_EQ(run->score.mean_nll, want->mean_nll) << type;
      EXPECT_EQ(run->batches(), 2u * 6);
      EXPECT_EQ(run->same_choices(), 1);
      EXPECT_EQ(run->hits().accesses, 2u * 96 * 2);
      const expert_cache::Trace trace = model->TraceOf(*run);
      EXPECT_TRUE(expert_cache::ValidateTrace(trace).ok()) << expert_cache::ValidateTrace(trace);
      EXPECT_EQ(trace.tokens, 96u);
      EXPECT_EQ(trace.layers, 2u);
      for (uint32_t token : {0u, 50u, 95u}) {
        for (uint32_t layer : {0u, 1u}) EXPECT_EQ(trace.Slots(token, layer)[0], run->layers[layer].trace[token * 2]);
      }
    }
  }
}

TEST(RoutedRunTest, LayersShareACacheByTheBytesOfTheirExperts) {
  EXPECT_EQ(LayerShares(100, std::vector<uint64_t>{10, 10, 30, 30}, 2), (std::vector<uint64_t>{25, 75}));
  // A quarter of the experts is a quarter of each layer, to the byte, and nothing overflows on the way.
  const uint64_t large = uint64_t{1} << 58;
  EXPECT_EQ(LayerShares(2 * large, std::vector<uint64_t>{large, large, large, large, 3, 3, 3, 3}, 2)[0], 2 * large - 6);
  EXPECT_EQ(LayerShares(6, std::vector<uint64_t>{3, 3, 3, 3, 9, 9, 9, 9}, 2), (std::vector<uint64_t>{1, 4}));
  EXPECT_EQ(LayerShares(5, std::vector<uint64_t>{0, 0}, 2), (std::vector<uint64_t>{0, 0}));
}

TEST(RoutedRunTest, AnotherChoiceIsAnotherLoss) {
  const TinyModel tiny("mixtral");
  const std::vector<evaluate::Window> windows = TinyModel::Windows(3, 32);
  const auto model = RoutedModel::Make(tiny.weights(), tiny.Open(), TinyModel::Sizes());
  ASSERT_TRUE(model.ok()) << model.status();
  RouterOptions options = Options(Chooser::kGame);
  options.game.weights.alpha = 1;
  options.game.weights.cohesion = 0.1;  // reads the routers' rows
  const auto own = model->Run(windows, Options(Chooser::kModel), NoProgress, 2);
  const auto game = model->Run(windows, options, NoProgress, 1);
  ASSERT_TRUE(own.ok() && game.ok()) << game.status();
  EXPECT_NE(game->score.mean_nll, own->score.mean_nll);
  EXPECT_LT(game->load_variation(), own->load_variation());
  EXPECT_EQ(game->nash_batches(), game->batches());
  EXPECT_GT(game->mean_rounds(), 1);
  // The model has its own router back afterwards.
  const auto again = model->Run(windows, Options(Chooser::kModel), NoProgress, 2);
  EXPECT_EQ(again->score.mean_nll, own->score.mean_nll);
}

TEST(RoutedRunTest, ErrorsOfTheRouterEndTheRunAndNameTheLayer) {
  const TinyModel tiny("mixtral");
  const auto model = RoutedModel::Make(tiny.weights(), tiny.Open(), TinyModel::Sizes());
  RouterOptions options = Options(Chooser::kGame);
  options.game.weights.alpha = -1;
  const auto run = model->Run(TinyModel::Windows(2, 16), options, NoProgress, 1);
  EXPECT_EQ(ReasonOf(run.status()), "ROUTING_OPTIONS");
  EXPECT_NE(run.status().message().find("layer 0"), std::string::npos) << run.status();
}

TEST(RoutedRunTest, ProgressMayStopTheRun) {
  const TinyModel tiny("mixtral");
  const auto model = RoutedModel::Make(tiny.weights(), tiny.Open(), TinyModel::Sizes());
  const auto run = model->Run(
      TinyModel::Windows(2, 16), Options(Chooser::kModel),
      [](uint64_t, uint64_t) { return absl::CancelledError("enough"); }, 1);
  EXPECT_TRUE(absl::IsCancelled(run.status()));
}

TEST(RoutedRunTest, AModelWithoutExpertsHasNoRouter) {
  const TinyModel tiny("llama");
  const auto model = RoutedModel::Make(tiny.weights(), tiny.Open(), {});
  EXPECT_EQ(ReasonOf(model.status()), "NO_EXPERTS");
  EXPECT_NE(HintOf(model.status()), "");
}

}  // namespace
}  // namespace nashswarm::route

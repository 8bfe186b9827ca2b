// Speed of routing batches of 2048 tokens with all the rounds of the game, in million token decisions per second of
// one core (a decision: one token of one call, however many rounds it takes), with and without alignment and
// cohesion, on random logits with experts of very unequal favour; the rounds it takes, what it does to the loads, and
// each instruction set.
//
//   routing_bench [TOKENS EXPERTS TOP_K]       default 2048 64 8
//
// Needs no input files.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "core/game/routing/centres.h"
#include "core/game/routing/kernels.h"
#include "core/game/routing/routing.h"

namespace {

namespace routing = nashswarm::routing;

constexpr int kRuns = 15;
constexpr int kBatches = 8;
constexpr size_t kWidth = 256;

// Logits of spread 1.5 with a favour of each expert that has a heavy tail (the exponential of a normal number).
std::vector<float> Logits(size_t tokens, size_t experts, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> favour(experts), logits(tokens * experts);
  for (float& f : favour) f = std::exp(0.8f * normal(random));
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = 1.5f * normal(random) + favour[i % experts];
  return logits;
}

routing::Centres MakeCentres(size_t experts) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<float> rows(experts * kWidth);
  for (float& x : rows) x = normal(random);
  return *routing::Centres::Make(rows, experts, kWidth);
}

struct Seconds {
  double wall, processor;
};

Seconds Now() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const double processor = static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                           1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return {std::chrono::duration<double>(now).count(), processor};
}

// The best of some runs: other programs can only make one slower.
Seconds Best(const std::function<void()>& run) {
  Seconds best{1e30, 1e30};
  for (int i = 0; i < kRuns; ++i) {
    const Seconds start = Now();
    run();
    const Seconds end = Now();
    best.wall = std::min(best.wall, end.wall - start.wall);
    best.processor = std::min(best.processor, end.processor - start.processor);
  }
  return best;
}

void Measure(const char* name, std::vector<routing::Batch> batches, const routing::Weights& weights) {
  std::vector<routing::Result> results(batches.size());
  const Seconds seconds = Best([&] {
    for (size_t b = 0; b < batches.size(); ++b) {
      auto result = routing::Route(batches[b], {.weights = weights});
      if (!result.ok()) {
        std::fprintf(stderr, "routing_bench: %s\n", result.status().ToString().c_str());
        std::exit(1);
      }
      results[b] = *std::move(result);
    }
  });
  double rounds = 0, moves = 0, variation = 0, gain = 0;
  int most = 0;
  bool nash = true;
  for (const routing::Result& result : results) {
    rounds += result.rounds;
    most = std::max(most, result.rounds);
    for (const int64_t m : result.moves) moves += static_cast<double>(m);
    variation += result.load_variation;
    gain = std::max(gain, result.max_gain);
    nash = nash && result.nash;
  }
  const double count = static_cast<double>(batches.size());
  const double millions = 1e-6 * count * static_cast<double>(batches[0].tokens);
  std::printf("  %-17s %6.2f (%6.2f)  rounds %5.1f, at most %2d  moves/token %5.2f", name, millions / seconds.wall,
              millions / seconds.processor, rounds / count, most, moves / (1e6 * millions));
  std::printf("  load variation %5.3f  gain %.0e %s\n", variation / count, gain, nash ? "Nash" : "not Nash");
  std::fflush(stdout);
}

void MeasureAll(const std::vector<routing::Batch>& batches, const std::vector<routing::Batch>& with_centres) {
  Measure("no weights", batches, {});
  Measure("loads", batches, {.alpha = 1, .separation = 0.5, .cache_bonus = 0.3});
  Measure("loads, little", batches, {.alpha = 0.1, .separation = 0.1, .cache_bonus = 0.3});
  Measure("loads, much", batches, {.alpha = 5, .separation = 5, .cache_bonus = 0.3});
  Measure("loads, alignment", batches, {.alpha = 1, .separation = 0.5, .alignment = 0.5, .cache_bonus = 0.3});
  Measure("loads, cohesion", with_centres, {.alpha = 1, .separation = 0.5, .cohesion = 0.5, .cache_bonus = 0.3});
  Measure("all", with_centres, {.alpha = 1, .separation = 0.5, .alignment = 0.5, .cohesion = 0.5, .cache_bonus = 0.3});
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 1 && argc != 4) {
    std::fprintf(stderr, "usage: %s [TOKENS EXPERTS TOP_K]\n", argv[0]);
    return 2;
  }
  const auto number = [&](int i, size_t otherwise) {
    return argc == 4 ? static_cast<size_t>(std::atoi(argv[i])) : otherwise;
  };
  const size_t tokens = number(1, 2048), experts = number(2, 64), top_k = number(3, 8);
  if (experts < 1 || experts > routing::kMaxExperts) {
    std::fprintf(stderr, "routing_bench: from 1 to %zu experts\n", routing::kMaxExperts);
    return 2;
  }
  const routing::Centres centres = MakeCentres(experts);
  std::vector<uint8_t> cached(experts);
  for (size_t e = 0; e < experts; ++e) cached[e] = e % 3 == 0;
  std::vector<std::vector<float>> logits;
  std::vector<routing::Batch> batches;
  for (unsigned b = 0; b < kBatches; ++b) logits.push_back(Logits(tokens, experts, b + 1));
  for (const auto& l : logits) batches.push_back({tokens, experts, top_k, l, nullptr, cached});
  std::vector<routing::Batch> with_centres = batches;
  for (auto& batch : with_centres) batch.centres = &centres;
  std::printf("%zu tokens, %zu experts, %zu each: million decisions per second of the clock (of processor time)\n",
              tokens, experts, top_k);
  const int64_t targets = routing::KernelTargets();
  for (int bit = 0; bit < 63; ++bit) {
    if ((targets & (int64_t{1} << bit)) == 0) continue;
    routing::UseKernelTarget(int64_t{1} << bit);
    std::printf("%s\n", std::string(routing::SimdKernels().name).c_str());
    const routing::Weights loads = {.alpha = 1, .separation = 0.5, .cache_bonus = 0.3};
    Measure("loads", batches, loads);
  }
  routing::UseKernelTarget(0);
  std::printf("best, %s\n", std::string(routing::SimdKernels().name).c_str());
  MeasureAll(batches, with_centres);
  return 0;
}

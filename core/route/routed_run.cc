#include "core/route/routed_run.h"

#include <algorithm>
#include <numeric>

#include "core/base/status.h"
#include "core/forward/blocks/expert_choices.h"
#include "core/route/expert_files.h"

namespace nashswarm::route {
namespace {

// Takes the router away again, whatever happens.
class RouterGuard {
 public:
  RouterGuard(forward::Transformer& model, forward::ExpertRouter router) : model_(model) {
    model_.SetRouter(std::move(router));
  }
  ~RouterGuard() { model_.SetRouter({}); }
  RouterGuard(const RouterGuard&) = delete;
  RouterGuard& operator=(const RouterGuard&) = delete;

 private:
  forward::Transformer& model_;
};

template <typename Value>
double Sum(const std::vector<LayerCounts>& layers, Value value) {
  double sum = 0;
  for (const LayerCounts& layer : layers) sum += static_cast<double>(value(layer));
  return sum;
}

template <typename Value, typename Weight>
double Mean(const std::vector<LayerCounts>& layers, Value value, Weight weight) {
  const double weights = Sum(layers, weight);
  return weights == 0 ? 0 : Sum(layers, value) / weights;
}

uint64_t TokensOf(const LayerCounts& layer) { return layer.tokens; }

}  // namespace

std::vector<uint64_t> LayerShares(uint64_t bytes, absl::Span<const uint64_t> sizes, size_t layers) {
  const size_t experts = sizes.size() / layers;
  const auto sum = [](absl::Span<const uint64_t> of) { return std::accumulate(of.begin(), of.end(), uint64_t{0}); };
  const uint64_t all = std::max<uint64_t>(1, sum(sizes));
  std::vector<uint64_t> shares;
  for (size_t layer = 0; layer < layers; ++layer) {
    const auto exact = static_cast<unsigned __int128>(bytes) * sum(sizes.subspan(layer * experts, experts));
    shares.push_back(static_cast<uint64_t>(exact / all));
  }
  return shares;
}

expert_cache::HitCount RoutedRun::hits() const {
  expert_cache::HitCount all;
  for (const LayerCounts& layer : layers) {
    all.accesses += layer.hits.accesses;
    all.hits += layer.hits.hits;
  }
  return all;
}

double RoutedRun::bytes_per_token() const {
  return layers.empty() || layers[0].tokens == 0
             ? 0
             : Sum(layers, [](const auto& l) { return l.bytes_loaded; }) / static_cast<double>(layers[0].tokens);
}

double RoutedRun::load_variation() const {
  return Mean(
      layers, [](const auto& l) { return l.load_variation; }, TokensOf);
}

double RoutedRun::same_choices() const {
  return Mean(
      layers, [](const auto& l) { return l.same_choices; }, [](const auto& l) { return l.hits.accesses; });
}

double RoutedRun::mean_rounds() const {
  return Mean(
      layers, [](const auto& l) { return l.rounds; }, [](const auto& l) { return l.batches; });
}

uint64_t RoutedRun::batches() const {
  uint64_t sum = 0;
  for (const LayerCounts& layer : layers) sum += layer.batches;
  return sum;
}

uint64_t RoutedRun::nash_batches() const {
  uint64_t sum = 0;
  for (const LayerCounts& layer : layers) sum += layer.nash_batches;
  return sum;
}

absl::StatusOr<RoutedModel> RoutedModel::Make(std::shared_ptr<const forward::Weights> weights,
                                              std::unique_ptr<forward::Transformer> model,
                                              std::vector<uint64_t> sizes) {
  if (model->experts() == 0) return NoExperts(weights->name());
  RoutedModel routed;
  std::vector<float> rows(model->experts() * model->width());
  for (uint64_t layer = 0; layer < model->layers(); ++layer) {
    const std::string router = absl::StrCat("blk.", layer, ".ffn_gate_inp.weight");
    NS_RETURN_IF_ERROR(weights->Read(router, 0, model->experts(), rows.data()));
    NS_ASSIGN_OR_RETURN(routing::Centres centres, routing::Centres::Make(rows, model->experts(), model->width()));
    routed.centres_.push_back(std::move(centres));
  }
  routed.model_ = std::move(model);
  routed.sizes_ = std::move(sizes);
  return routed;
}

absl::StatusOr<RoutedRun> RoutedModel::Run(absl::Span<const evaluate::Window> windows, const RouterOptions& options,
                                           const evaluate::Progress& progress, int threads) const {
  std::vector<LayerRouter> routers;
  const std::vector<uint64_t> shares = LayerShares(options.cache.capacity_bytes, sizes_, layers());
  for (size_t layer = 0; layer < layers(); ++layer) {
    const auto first = sizes_.begin() + static_cast<ptrdiff_t>(layer * experts());
    LayerShape shape{experts(), used(), model_->normalized_experts(), &centres_[layer],
                     std::vector<uint64_t>(first, first + static_cast<ptrdiff_t>(experts()))};
    RouterOptions of_layer = options;
    of_layer.cache.capacity_bytes = shares[layer];
    NS_ASSIGN_OR_RETURN(LayerRouter router, LayerRouter::Make(std::move(shape), std::move(of_layer)));
    routers.push_back(std::move(router));
  }
  // A router has no way to fail: the first error stops the run at the next report of progress.
  absl::Status failed;
  const RouterGuard guard(*model_, [&](uint64_t layer, const float* logits, uint64_t tokens, uint16_t* chosen) {
    if (failed.ok()) failed = Annotate(routers[layer].Route(logits, tokens, chosen), absl::StrCat("layer ", layer));
    if (!failed.ok()) forward::ChooseGreatest(logits, tokens, experts(), used(), chosen);
  });
  const auto watched = [&](uint64_t done, uint64_t total) { return failed.ok() ? progress(done, total) : failed; };
  NS_ASSIGN_OR_RETURN(const evaluate::Predictions predictions, evaluate::Predict(*model_, windows, watched));
  NS_RETURN_IF_ERROR(failed);
  RoutedRun run;
  NS_ASSIGN_OR_RETURN(run.score, evaluate::ScorePredictions(predictions, nullptr, windows, threads));
  for (const LayerRouter& router : routers) run.layers.push_back(router.counts());
  return run;
}

expert_cache::Trace RoutedModel::TraceOf(const RoutedRun& run) const {
  expert_cache::Trace trace;
  trace.tokens = static_cast<uint32_t>(run.layers[0].tokens);
  trace.layers = static_cast<uint32_t>(layers());
  trace.experts_per_layer = static_cast<uint32_t>(experts());
  trace.top_k = static_cast<uint32_t>(used());
  trace.sizes = sizes_;
  trace.experts.reserve(static_cast<size_t>(trace.tokens) * layers() * used());
  for (size_t token = 0; token < trace.tokens; ++token) {
    for (const LayerCounts& layer : run.layers) {
      const auto slots = layer.trace.begin() + static_cast<ptrdiff_t>(token * used());
      trace.experts.insert(trace.experts.end(), slots, slots + static_cast<ptrdiff_t>(used()));
    }
  }
  return trace;
}

}  // namespace nashswarm::route

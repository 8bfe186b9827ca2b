#include "core/calibrate/collect.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "core/base/status.h"

namespace nashswarm::calibrate {
namespace {

// Windows of so many tokens run through a layer together: their inputs are in memory at once.
constexpr uint64_t kGroupTokens = 4096;
// Full moments may take this much on disk; the widest inputs lose theirs first.
constexpr uint64_t kMaxFullBytes = 4ull << 30;
// And a sum in memory is width^2 doubles.
constexpr uint64_t kMaxFullWidth = 16384;

struct InputSpec {
  std::string input;
  int layer;  // -1: after the last
  uint64_t width;
  int expert = -1;            // -1: of no expert
  bool counts_expert = false;  // it is what the router sends to the expert
};

// Every input of a player, once, in the order the model computes them: layers, then the head.
std::vector<InputSpec> InputsOf(const model::Model& model, bool tied_head) {
  std::vector<InputSpec> layers, head;
  std::set<std::string> seen;
  for (const model::MappedTensor& tensor : model.tensors) {
    const std::string input = forward::InputOf(tensor.name, tied_head);
    if (input.empty() || !tensor.is_player() || !seen.insert(input).second) continue;
    (tensor.layer < 0 ? head : layers)
        .push_back({input, tensor.layer, tensor.row_weights, tensor.expert, tensor.expert >= 0 && tensor.role != model::Role::kFfnDown});
  }
  std::stable_sort(layers.begin(), layers.end(), [](const InputSpec& a, const InputSpec& b) { return a.layer < b.layer; });
  layers.insert(layers.end(), head.begin(), head.end());
  return layers;
}

// What the whole feed-forward part of a layer reads.
std::string LayerInput(int layer) { return absl::StrCat("blk.", layer, ".ffn_in"); }

uint64_t TriangleBytes(uint64_t width) { return width * (width + 1) / 2 * sizeof(float); }

// The largest width whose inputs, with all narrower ones, may keep their full moments. A model's layers are treated alike.
uint64_t WidestFull(const std::vector<InputSpec>& inputs) {
  std::map<uint64_t, uint64_t> bytes_by_width;
  for (const InputSpec& input : inputs) bytes_by_width[input.width] += TriangleBytes(input.width);
  uint64_t total = 0, widest = 0;
  for (const auto& [width, bytes] : bytes_by_width) {
    total += bytes;
    if (width > kMaxFullWidth || total > kMaxFullBytes) break;
    widest = width;
  }
  return widest;
}

class MomentsWriter {
 public:
  absl::Status Start(const std::string& path, const std::vector<checkpoint::TensorShape>& shapes, const Json& widths) {
    NS_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
    file_.emplace(std::move(file));
    return file_->Append(checkpoint::SerializeSafetensorsHeader(
        shapes, {{"content", "second moments of layer inputs"}, {"widths", widths.dump()}}));
  }
  template <typename T>
  absl::Status Append(const std::vector<T>& values) {
    return file_->Append(absl::Span<const uint8_t>(reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(T)));
  }
  absl::Status Finish() { return file_->CommitUnsynced(); }

 private:
  std::optional<AtomicFile> file_;
};

// Hears both: what a layer's inputs are, and which experts its tokens use together.
class LayerTap : public forward::InputTap {
 public:
  LayerTap(MomentCollector* moments, uint64_t experts) : moments_(*moments), experts_(experts) {}
  void Input(const std::string& input, const float* x, uint64_t tokens, uint64_t width) override {
    moments_.Input(input, x, tokens, width);
  }
  void Experts(uint64_t, const uint16_t* chosen, uint64_t tokens, uint64_t used) override {
    if (experts_ > kMostPairedExperts) return;
    pairs_.resize(experts_ * experts_);
    for (uint64_t t = 0; t < tokens; ++t, chosen += used) {
      for (uint64_t a = 0; a < used; ++a) {
        for (uint64_t b = 0; b < used; ++b) pairs_[chosen[a] * experts_ + chosen[b]] += a == b ? 0 : 1;
      }
    }
  }
  // Of the layer that was run, and forgets them; empty when nothing was to be counted.
  std::vector<float> TakePairs() {
    std::vector<float> pairs(pairs_.begin(), pairs_.end());
    pairs_.clear();
    return pairs;
  }

 private:
  MomentCollector& moments_;
  uint64_t experts_;
  std::vector<uint32_t> pairs_;
};

// All calibration windows at one layer after another.
class LayerRun {
 public:
  LayerRun(forward::Transformer& transformer, absl::Span<const evaluate::Window> windows, const evaluate::Progress& progress)
      : transformer_(transformer), windows_(windows), progress_(progress),
        length_(windows.empty() ? 0 : windows[0].tokens.size()),
        group_(std::max<uint64_t>(1, kGroupTokens / std::max<uint64_t>(length_, 1))) {}

  absl::Status Embed() {
    hidden_.resize(windows_.size() * length_ * transformer_.width());
    return ForGroups([&](uint64_t first, uint64_t count, float* hidden) {
      forward::Batch batch;
      batch.windows = count;
      batch.length = length_;
      for (uint64_t w = first; w < first + count; ++w) {
        batch.tokens.insert(batch.tokens.end(), windows_[w].tokens.begin(), windows_[w].tokens.end());
      }
      return transformer_.Embed(batch, hidden);
    });
  }
  absl::Status Layer(uint64_t layer, forward::InputTap* tap) {
    const uint64_t all = windows_.size() * length_;
    return ForGroups([&](uint64_t first, uint64_t count, float* hidden) -> absl::Status {
      NS_RETURN_IF_ERROR(transformer_.RunLayer(layer, count, length_, hidden, tap, nullptr));
      return progress_((layer * all + (first + count) * length_) / transformer_.layers(), all);
    });
  }
  absl::Status Norm(forward::InputTap* tap) {
    return ForGroups([&](uint64_t, uint64_t count, float* hidden) {
      return transformer_.FinalNorm(count * length_, hidden, tap);
    });
  }

 private:
  template <typename Body>
  absl::Status ForGroups(Body body) {
    for (uint64_t first = 0; first < windows_.size(); first += group_) {
      const uint64_t count = std::min<uint64_t>(group_, windows_.size() - first);
      NS_RETURN_IF_ERROR(body(first, count, &hidden_[first * length_ * transformer_.width()]));
    }
    return absl::OkStatus();
  }

  forward::Transformer& transformer_;
  absl::Span<const evaluate::Window> windows_;
  const evaluate::Progress& progress_;
  uint64_t length_, group_;
  std::vector<float> hidden_;
};

std::vector<float> CountTokens(absl::Span<const evaluate::Window> windows, uint64_t vocabulary) {
  std::vector<float> counts(vocabulary);
  for (const evaluate::Window& window : windows) {
    for (const int32_t token : window.tokens) counts[static_cast<size_t>(token)] += 1;
  }
  return counts;
}

// The lower triangle of a symmetric matrix, row by row.
std::vector<float> Packed(const std::vector<float>& matrix, uint64_t width) {
  std::vector<float> packed;
  packed.reserve(width * (width + 1) / 2);
  for (uint64_t r = 0; r < width; ++r) {
    packed.insert(packed.end(), matrix.begin() + static_cast<ptrdiff_t>(r * width),
                  matrix.begin() + static_cast<ptrdiff_t>(r * width + r + 1));
  }
  return packed;
}

void AddFisherShapes(const forward::Fisher& fisher, std::vector<checkpoint::TensorShape>* shapes, Json* widths) {
  for (const auto& [tensor, rows] : fisher.rows) shapes->push_back({kRowsOf + tensor, checkpoint::DType::kF32, {rows.size()}});
  for (const auto& [tensor, table] : fisher.tables) {
    shapes->push_back({kTableRowsOf + tensor, checkpoint::DType::kF32, {table.rows.size()}});
    if (table.moment.empty()) continue;
    const auto width = static_cast<uint64_t>(std::llround(std::sqrt(static_cast<double>(table.moment.size()))));
    shapes->push_back({kTableOf + tensor, checkpoint::DType::kF32, {width * (width + 1) / 2}});
    (*widths)[kTableOf + tensor] = width;
  }
}

absl::Status WriteFisher(const forward::Fisher& fisher, const Json& widths, MomentsWriter* writer) {
  for (const auto& [tensor, rows] : fisher.rows) NS_RETURN_IF_ERROR(writer->Append(rows));
  for (const auto& [tensor, table] : fisher.tables) {
    NS_RETURN_IF_ERROR(writer->Append(table.rows));
    if (!table.moment.empty()) NS_RETURN_IF_ERROR(writer->Append(Packed(table.moment, widths.at(kTableOf + tensor).get<uint64_t>())));
  }
  return absl::OkStatus();
}

void AddWindowShape(const char* name, absl::Span<const evaluate::Window> windows, std::vector<checkpoint::TensorShape>* shapes) {
  if (!windows.empty()) shapes->push_back({name, checkpoint::DType::kI32, {windows.size(), windows[0].tokens.size()}});
}

// What is taken of an input that no token reached, an expert's: what all tokens bring to the layer, else nothing at all.
InputMoment Unheard(const InputSpec& spec, const InputMoment& layer_input, uint64_t widest) {
  if (spec.counts_expert && layer_input.width == spec.width) return layer_input;
  InputMoment plain{spec.width, spec.width <= widest, {}};
  plain.values.assign(plain.full ? spec.width * (spec.width + 1) / 2 : spec.width, plain.full ? 0.0f : 1.0f);
  for (uint64_t r = 0; plain.full && r < spec.width; ++r) plain.values[r * (r + 1) / 2 + r] = 1;
  return plain;
}

// Runs the calibration text and writes the moments of `inputs` as they become whole, then the token counts, then by layer
// those of experts and of pairs of them.
absl::Status WriteMoments(forward::Transformer& transformer, const std::vector<InputSpec>& inputs, uint64_t widest,
                          absl::Span<const evaluate::Window> calibration, int threads, const evaluate::Progress& progress,
                          MomentsWriter* writer) {
  MomentCollector collector(widest, threads);
  LayerTap tap(&collector, transformer.experts());
  LayerRun run(transformer, calibration, progress);
  NS_RETURN_IF_ERROR(run.Embed());
  std::vector<std::vector<float>> expert_tokens, expert_pairs;  // by layer
  size_t next = 0;
  const auto write = [&](int layer) -> absl::Status {
    InputMoment layer_input;  // of the feed-forward part, when there are experts
    if (layer >= 0 && transformer.experts() > 0) expert_tokens.emplace_back(transformer.experts());
    for (; next < inputs.size() && inputs[next].layer == layer; ++next) {
      const InputSpec& spec = inputs[next];
      if (spec.counts_expert) expert_tokens.back()[static_cast<size_t>(spec.expert)] = static_cast<float>(collector.Tokens(spec.input));
      const bool shared = spec.input == LayerInput(layer);
      if (spec.expert >= 0 && layer_input.width == 0) layer_input = collector.Take(LayerInput(layer));
      InputMoment moment = collector.Take(spec.input);
      if (moment.width == 0 && shared) moment = layer_input;
      NS_RETURN_IF_ERROR(writer->Append(moment.width > 0 ? moment.values : Unheard(spec, layer_input, widest).values));
    }
    return absl::OkStatus();
  };
  for (uint64_t layer = 0; layer < transformer.layers(); ++layer) {
    NS_RETURN_IF_ERROR(run.Layer(layer, &tap));
    expert_pairs.push_back(tap.TakePairs());
    NS_RETURN_IF_ERROR(write(static_cast<int>(layer)));
  }
  NS_RETURN_IF_ERROR(run.Norm(&tap));
  NS_RETURN_IF_ERROR(write(-1));
  NS_RETURN_IF_ERROR(writer->Append(CountTokens(calibration, transformer.vocabulary())));
  for (const std::vector<float>& tokens : expert_tokens) NS_RETURN_IF_ERROR(writer->Append(tokens));
  for (const std::vector<float>& pairs : expert_pairs) NS_RETURN_IF_ERROR(writer->Append(pairs));
  return absl::OkStatus();
}

}  // namespace

MomentSizes SizesOfMoments(const model::Model& model, bool tied_head) {
  const std::vector<InputSpec> inputs = InputsOf(model, tied_head);
  MomentSizes sizes;
  sizes.widest_full = WidestFull(inputs);
  std::map<int, double> squares;  // by layer
  for (const InputSpec& input : inputs) {
    sizes.widths.push_back(input.width);
    const double square = static_cast<double>(input.width) * static_cast<double>(input.width);
    // What all experts of a layer read is summed beside what each of them reads.
    const int sums = input.expert == 0 && input.counts_expert ? 2 : 1;
    if (input.width <= sizes.widest_full) squares[input.layer] += sums * square;
    sizes.file_bytes += input.width <= sizes.widest_full ? TriangleBytes(input.width) : input.width * sizeof(float);
  }
  for (const auto& [layer, sum] : squares) sizes.layer_squares = std::max(sizes.layer_squares, sum);
  for (const model::MappedTensor& tensor : model.tensors) {
    if (tensor.role != model::Role::kRouter || tensor.vector || tensor.rows > kMostPairedExperts) continue;
    sizes.pair_bytes += tensor.rows * tensor.rows * sizeof(float);
  }
  return sizes;
}

absl::Status CollectMoments(forward::Transformer& transformer, const model::Model& model, const MomentSources& sources,
                            int threads, const std::string& path, const evaluate::Progress& progress) {
  const bool runs = !sources.calibration.empty();
  std::vector<InputSpec> inputs;
  if (runs) {
    inputs = InputsOf(model, transformer.tied_head());
  } else {
    for (const auto& [input, moment] : sources.given) inputs.push_back({input, -1, moment.width});
  }
  const uint64_t widest = runs ? WidestFull(inputs) : 0;
  std::vector<checkpoint::TensorShape> shapes;
  Json widths = Json::object();
  for (const InputSpec& input : inputs) {
    const uint64_t values = input.width <= widest ? input.width * (input.width + 1) / 2 : input.width;
    shapes.push_back({input.input, checkpoint::DType::kF32, {values}});
    widths[input.input] = input.width;
  }
  if (runs) shapes.push_back({kTokenCounts, checkpoint::DType::kF32, {transformer.vocabulary()}});
  for (uint64_t layer = 0; runs && transformer.experts() > 0 && layer < transformer.layers(); ++layer) {
    shapes.push_back({absl::StrCat(kExpertTokens, layer), checkpoint::DType::kF32, {transformer.experts()}});
  }
  const bool pairs = runs && transformer.experts() > 0 && transformer.experts() <= kMostPairedExperts;
  for (uint64_t layer = 0; pairs && layer < transformer.layers(); ++layer) {
    shapes.push_back({absl::StrCat(kExpertPairs, layer), checkpoint::DType::kF32, {transformer.experts(), transformer.experts()}});
  }
  if (sources.fisher != nullptr) AddFisherShapes(*sources.fisher, &shapes, &widths);
  AddWindowShape(kEvaluationTokens, sources.evaluation, &shapes);
  AddWindowShape(kSearchTokens, sources.search, &shapes);

  MomentsWriter writer;
  NS_RETURN_IF_ERROR(writer.Start(path, shapes, widths));
  if (runs) {
    NS_RETURN_IF_ERROR(WriteMoments(transformer, inputs, widest, sources.calibration, threads, progress, &writer));
  } else {
    for (const InputSpec& input : inputs) NS_RETURN_IF_ERROR(writer.Append(sources.given.at(input.input).values));
  }
  if (sources.fisher != nullptr) NS_RETURN_IF_ERROR(WriteFisher(*sources.fisher, widths, &writer));
  for (const evaluate::Window& window : sources.evaluation) NS_RETURN_IF_ERROR(writer.Append(window.tokens));
  for (const evaluate::Window& window : sources.search) NS_RETURN_IF_ERROR(writer.Append(window.tokens));
  return writer.Finish();
}

}  // namespace nashswarm::calibrate

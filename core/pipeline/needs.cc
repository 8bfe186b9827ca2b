#include "core/pipeline/needs.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/base/file.h"
#include "core/calibrate/calibration.h"
#include "core/calibrate/collect.h"
#include "core/calibrate/references.h"
#include "core/forward/layer.h"
#include "core/forward/model_config.h"
#include "core/forward/weights.h"
#include "core/pipeline/chunks.h"
#include "core/pipeline/kinds/artifact_kind.h"

namespace nashswarm::pipeline {
namespace {

// Sums of products of sizes a checkpoint may claim: doubles do not overflow, and a need is no exact number.
using Bytes = double;

constexpr Bytes kFloat = sizeof(float), kMiB = 1 << 20;
// Program, libraries and their tables.
constexpr Bytes kProgram = 12 * kMiB;
// A parsed tokenizer.json and the vocabulary made of it, per byte of the file.
constexpr Bytes kPerCompanionByte = 16;
// Names, shapes, curves and plans of a tensor, parsed.
constexpr Bytes kPerTensor = 16 << 10;
// A thread's stack, its share of the heap and what OpenBLAS touches of its buffer.
constexpr Bytes kThread = 4 * kMiB, kBlasThread = 24 * kMiB;
// What the stages keep of decoded weights (calibration.cc; candidate.cc and evaluate.cc), run at a time (score.cc),
// make of logits (score.cc, blocks/head.cc) and take back through the layers (fisher.cc).
constexpr Bytes kKeptByCalibrate = 8192 * kMiB, kKeptByEvaluate = 4096 * kMiB;
constexpr Bytes kBatchTokens = 4096, kLogits = 16 << 20, kGradientTokens = 2048;
// The model's own text (calibration.cc).
constexpr Bytes kLanes = 32, kCalibrationContext = 512;
// Weights and rows of a chunk (chunks.h).
constexpr Bytes kChunk = kChunkWeights, kRows = kRowsTogether;
// A full moment of width w takes so many bytes times w^2: while it is made (packed, unpacked, its copy, a factorization
// in doubles, the factor), afterwards (the matrix and its factor), and as a sum in doubles with what is written of it.
constexpr Bytes kMakingMoment = 22, kReadyMoment = 8, kSummingMoment = 10;
// More than any machine has, and far from where integers end.
constexpr Bytes kMost = 1ull << 60;

struct Need {
  Bytes memory = 0, thread = 0, disk = 0;
};

StageNeed Whole(const Need& need) {
  const auto whole = [](Bytes bytes) { return static_cast<uint64_t>(std::ceil(std::min(bytes, kMost))); };
  return {whole(need.memory), whole(need.thread), whole(need.disk)};
}

Bytes Square(Bytes x) { return x * x; }

Bytes SizeOf(const std::string& path) {
  const absl::StatusOr<uint64_t> size = FileSize(path);
  return size.ok() ? static_cast<Bytes>(*size) : 0;
}

// Of the files beside the weights.
Bytes CompanionBytes(const std::string& directory) {
  namespace fs = std::filesystem;
  Bytes bytes = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    if (it->is_regular_file(error) && it->path().extension() != ".safetensors") bytes += SizeOf(it->path());
    error.clear();
  }
  return bytes;
}

class Estimate {
 public:
  Estimate(const ArtifactKind& kind, const OpenModel& open, const Prepared& prepared, const Task& task,
           const forward::ModelConfig& config)
      : prepared_(prepared),
        spec_(task.spec),
        config_(config),
        moments_(calibrate::SizesOfMoments(open.model, config.head.tied)),
        layers_(static_cast<Bytes>(config.layers)),
        width_(static_cast<Bytes>(config.width)),
        ffn_(static_cast<Bytes>(config.hidden_units())),
        vocabulary_(static_cast<Bytes>(config.vocabulary)),
        companions_(CompanionBytes(task.model_dir)),
        runs_baselines_(calibrate::ReferenceRuns(open.model) > 1) {
    for (const uint64_t width : moments_.widths) {
      if (width > moments_.widest_full) continue;
      widest_ = std::max(widest_, static_cast<Bytes>(width));
      all_squares_ += Square(static_cast<Bytes>(width));
    }
    mean_square_ = all_squares_ / std::max<Bytes>(1, static_cast<Bytes>(moments_.widths.size()));
    for (const PreparedTensor& tensor : prepared.tensors) AddTensor(open, tensor);
    CountTokens(task);
    of_kind_ = kind.Needs(prepared, {all_squares_, vocabulary_, companions_});
    encode_of_kind_ = kind.EncodeNeeds(prepared);
  }

  JobNeeds Needs() const {
    JobNeeds needs{Whole(Measure()), Whole(Solve()), {}, Whole(Publish()), {}, {}, {}};
    for (size_t shard = 0; shard < prepared_.shards.size(); ++shard) needs.encode.push_back(Whole(Encode(shard)));
    if (!spec_.calibrates()) return needs;
    needs.calibrate = Whole(Calibrate());
    needs.search = Whole(Search());
    needs.evaluate = Whole(Evaluate());
    return needs;
  }

 private:
  void AddTensor(const OpenModel& open, const PreparedTensor& tensor) {
    const auto weights = static_cast<Bytes>(tensor.weights()), row = static_cast<Bytes>(tensor.row_weights);
    // Nobody wants more bits than the checkpoint has, but a rule may.
    const checkpoint::SourceTensor* source = open.model.tensors[tensor.mapped].source;
    Bytes bytes = source == nullptr ? kFloat : static_cast<Bytes>(checkpoint::BytesOf(source->dtype));
    if (tensor.vector || tensor.formats.size() == 1) bytes = std::max(bytes, kFloat);
    stored_.push_back(bytes * weights + 64);  // and alignment
    all_bytes_ += stored_.back();
    all_weights_ += weights;
    if (tensor.vector) return;
    players_ += weights;
    largest_ = std::max(largest_, weights);
    chunk_ = std::max(chunk_, std::min(weights, std::max(kChunk, kRows * row)));
  }

  // Tokens as asked for, and no more than the texts can have.
  void CountTokens(const Task& task) {
    const Bytes context = static_cast<Bytes>(config_.context);
    window_ = std::min(kCalibrationContext, context);
    const bool text = spec_.calibration == Spec::Calibration::kText,
               self = spec_.calibration == Spec::Calibration::kSelf;
    const auto limit = [](uint64_t asked, uint64_t by_default) {
      return static_cast<Bytes>(asked == 0 ? by_default : asked);
    };
    const std::string& evaluation = spec_.evaluation_text ? task.evaluation_path : task.calibration_path;
    if (text)
      calibration_ =
          std::min(limit(spec_.calibration_tokens, calibrate::kDefaultTextTokens), SizeOf(task.calibration_path));
    if (self) calibration_ = limit(spec_.calibration_tokens, calibrate::kDefaultSelfTokens);
    calibration_ = std::max(calibration_, text || self ? window_ : 0);
    if (text || spec_.evaluation_text) {
      evaluation_window_ = std::min(
          context,
          static_cast<Bytes>(spec_.evaluation_context == 0 ? evaluate::kDefaultContext : spec_.evaluation_context));
      evaluation_ = std::min(limit(spec_.evaluation_tokens, calibrate::kDefaultEvaluationTokens), SizeOf(evaluation));
    } else if (self) {
      evaluation_window_ = window_;
      evaluation_ = calibration_ / 4 + window_;
    }
    evaluation_ = std::max(evaluation_, evaluation_window_);
  }

  Bytes Base() const {
    return kProgram + kPerCompanionByte * companions_ + kPerTensor * static_cast<Bytes>(prepared_.tensors.size());
  }

  // Decoded weights of a model that keeps what fits into `limit`.
  Bytes Kept(Bytes limit) const {
    const Bytes layer = LayerWeights();
    const Bytes head = vocabulary_ * width_ * kFloat,
                fit = std::min(layers_, std::floor(limit / std::max<Bytes>(layer, 1)));
    return fit * layer + (fit < layers_ ? layer : 0) + (head <= limit - fit * layer ? head : 0);
  }

  Bytes LayerWeights() const { return kFloat * static_cast<Bytes>(forward::LayerWeightFloats(config_)); }

  // Of `rows` positions in a layer; `portion` of them in its feed-forward part at a time.
  Bytes Activations(Bytes rows, Bytes portion) const {
    return kFloat * static_cast<Bytes>(forward::LayerActivationFloats(config_, static_cast<uint64_t>(rows), static_cast<uint64_t>(portion)));
  }

  Bytes Batch(Bytes tokens, Bytes window) const { return std::min(tokens, kBatchTokens + window); }

  // Two models' states and logits of `tokens` tokens, half of which are scored.
  Bytes Scoring(Bytes tokens) const {
    const Bytes rows = tokens / 2, logits = std::min(rows * vocabulary_, std::max(kLogits, vocabulary_));
    return 2 * kFloat * (rows * width_ + logits) + 64 * rows;
  }

  // A pass of `tokens` tokens through a model.
  Bytes Running(Bytes tokens, Bytes window) const {
    const Bytes rows = Batch(tokens, window);
    return kFloat * rows * width_ + Activations(rows, std::min(rows, kBatchTokens / 2));
  }

  // What a thread needs in a pass: a piece of the head, tiles of the feed-forward part and of attention.
  Bytes RunningThread(Bytes window) const {
    return kThread + kBlasThread + kFloat * (512 * width_ + kRows * std::max(width_, ffn_) + 4 * window * kRows);
  }

  // Moments made ready for encoders, each thread with one of its own.
  void AddMoments(Need* need) const {
    if (!spec_.calibrates()) return;
    need->memory +=
        kMakingMoment * Square(widest_) + (kReadyMoment + kFloat) * Square(width_) + 8 * kFloat * vocabulary_;
    need->thread += kMakingMoment * mean_square_ + kBlasThread;
  }

  Bytes FewFiles() const { return kMiB + 8 * kPerTensor * static_cast<Bytes>(prepared_.tensors.size()); }

  Need Calibrate() const {
    // Before the first pass: keys and values of the model's own text.
    const auto keys = static_cast<Bytes>(config_.attention.kv_width());
    const Bytes writing = kFloat * kLanes * (2 * window_ * keys * layers_ + vocabulary_);
    const Bytes back = std::min(calibration_, kGradientTokens), tables = config_.embedding.learned_positions ? 2 : 1;
    const Bytes gradients = kFloat * back * (layers_ + 3) * width_ + Activations(back, back) +
                            kFloat * static_cast<Bytes>(forward::LayerGradientFloats(config_, static_cast<uint64_t>(back))) +
                            kFloat * std::min(back * vocabulary_, kLogits) + 8 * Square(width_) + 8 * vocabulary_;
    const Bytes group = std::min(calibration_, std::max(kBatchTokens, window_));
    const Bytes summing = kFloat * calibration_ * width_ + Activations(group, group) + kSummingMoment * moments_.layer_squares;
    const Bytes references = Scoring(evaluation_) + Running(evaluation_, evaluation_window_) +
                             (runs_baselines_ ? kFloat * players_ : 0) +
                             LayerWeights();
    const Bytes injected = std::min(calibration_, kBatchTokens);
    const Bytes injecting = 2 * Scoring(injected) + 2 * kFloat * injected * width_ + Running(injected, window_) +
                            kMakingMoment * Square(widest_) + 3 * kFloat * largest_ +
                            LayerWeights();
    Need need;
    need.memory = Base() + Kept(kKeptByCalibrate) + tables * kFloat * Square(width_) +
                  std::max({writing, gradients, summing, references, injecting});
    need.thread = RunningThread(std::max(window_, evaluation_window_)) + kFloat * kRows * std::max(width_, widest_) +
                  chunk_ * 3 * kFloat;
    need.memory += static_cast<Bytes>(moments_.pair_bytes);
    need.disk = FewFiles() + static_cast<Bytes>(moments_.file_bytes + moments_.pair_bytes) + tables * 2 * Square(width_) +
                kFloat * (vocabulary_ * 4 + all_weights_ / std::max<Bytes>(1, width_) + 2 * calibration_ + evaluation_);
    return need;
  }

  Need Measure() const {
    Need need{Base(), kThread, FewFiles()};
    need.thread += of_kind_.measure.thread;
    AddMoments(&need);
    return need;
  }

  Need Solve() const { return {Base() + kMiB * 16, kThread, FewFiles()}; }

  Need Search() const {
    const Bytes tokens = std::min<Bytes>(calibration_ / 4 + window_, kLogits / 1024 + window_);
    Need need{Base(), RunningThread(window_), FewFiles()};
    need.thread += of_kind_.search.thread;
    AddMoments(&need);
    // Both models as floats, the weights that replace the checkpoint's, and those about to.
    need.memory += 2 * Kept(kKeptByEvaluate) + 2 * kFloat * players_ + Scoring(tokens) + 2 * Running(tokens, window_);
    need.memory += of_kind_.search.memory;
    return need;
  }

  // Of the shard's tensors. Shards differ by what their largest tensor is, an embedding or a layer's.
  Need Encode(size_t shard) const {
    Need need{Base(), kThread, FewFiles()};
    for (size_t t = prepared_.shards[shard].first; t < prepared_.shards[shard].second; ++t) need.disk += stored_[t];
    need.thread += encode_of_kind_[shard].thread;
    need.memory += encode_of_kind_[shard].memory;
    AddMoments(&need);
    return need;
  }

  Need Evaluate() const {
    Need need{Base(), RunningThread(evaluation_window_), FewFiles() + all_bytes_ + companions_};
    need.memory +=
        std::max(2 * Kept(kKeptByEvaluate) + Scoring(evaluation_) + 2 * Running(evaluation_, evaluation_window_) +
                     (runs_baselines_ ? kFloat * players_ : 0),
                 of_kind_.evaluate.memory);
    need.disk += of_kind_.evaluate.disk;
    return need;
  }

  Need Publish() const {
    return {Base() + 8 * kMiB + of_kind_.publish.memory, kThread, FewFiles() + all_bytes_ + companions_ + 4 * kMiB};
  }

  const Prepared& prepared_;
  const Spec& spec_;
  const forward::ModelConfig& config_;
  calibrate::MomentSizes moments_;
  Bytes layers_, width_, ffn_, vocabulary_, companions_;
  bool runs_baselines_;
  Bytes widest_ = 0, mean_square_ = 0, all_squares_ = 0;  // of inputs with full moments
  std::vector<Bytes> stored_;                             // of the artifact's tensors, at most
  Bytes all_bytes_ = 0;                                   // of these
  Bytes all_weights_ = 0, players_ = 0, largest_ = 0, chunk_ = 0;
  Bytes calibration_ = 0, evaluation_ = 0, window_ = 0, evaluation_window_ = 0;  // tokens
  KindNeeds of_kind_;
  std::vector<KindNeed> encode_of_kind_;  // by shard
};

}  // namespace

std::optional<JobNeeds> NeedsOf(const ArtifactKind& kind, const OpenModel& open, const Prepared& prepared, const Task& task) {
  const std::unique_ptr<forward::Weights> weights = forward::WeightsOf(*open.checkpoint, open.model);
  const absl::StatusOr<forward::ModelConfig> config = forward::ReadModelConfig(*weights);
  if (!config.ok()) return std::nullopt;
  return Estimate(kind, open, prepared, task, *config).Needs();
}

}  // namespace nashswarm::pipeline

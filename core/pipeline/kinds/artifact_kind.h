// What an artifact kind does at each stage. The game, its search and the report are shared, and ask no artifact which kind it is:
// what differs is a function here, and a kind is a file beside this one that implements them all.
#ifndef NASHSWARM_CORE_PIPELINE_KINDS_ARTIFACT_KIND_H_
#define NASHSWARM_CORE_PIPELINE_KINDS_ARTIFACT_KIND_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/artifact/gguf_artifact.h"
#include "core/base/file.h"
#include "core/calibrate/injection.h"
#include "core/forward/weights.h"
#include "core/game/game.h"
#include "core/pipeline/expert_layout.h"
#include "core/pipeline/files/curves.h"
#include "core/pipeline/files/plan.h"
#include "core/pipeline/files/prepared.h"
#include "core/pipeline/files/shard_index.h"
#include "core/pipeline/stage_inputs.h"
#include "core/pipeline/stages.h"
#include "core/quant/format.h"

namespace nashswarm::pipeline {

// Tensors encoded in memory as ENCODE would, and decoded as a reader will: for plans that are tried out.
class TensorTrials {
 public:
  struct Tried {
    std::vector<float> decoded;        // all rows, as the forward pass reads them; empty: as in the checkpoint
    uint64_t bytes = 0;
    std::optional<double> distortion;  // where only encoding shows it
  };
  virtual ~TensorTrials() = default;
  // `tensor`: index into Prepared::tensors. Threads may call it for different tensors at once.
  virtual absl::StatusOr<Tried> Encode(size_t tensor, const Choice& choice, int threads) = 0;
};

// The outputs of ENCODE, by tensor, and what the data of the weight file are made of, in order.
struct EncodedModel {
  std::vector<EncodedTensor> tensors;
  std::vector<artifact::Piece> data;    // of each tensor
  std::vector<artifact::Piece> pieces;  // with what aligns them, experts where they lie
};

// The artifact's weights, as any reader opens it.
struct ReadableWeights {
  std::unique_ptr<const OpenModel> unpacked;  // the weights may point into it
  std::shared_ptr<const forward::Weights> weights;
};

// Bytes that a stage takes of a machine for the sake of the kind, beside what it takes for any.
struct KindNeed {
  double memory = 0, thread = 0, disk = 0;
};
struct KindNeeds {
  KindNeed measure, search, evaluate, publish;
};
// Of a model: squares of the widths of all inputs with full moments, summed; tokens; bytes of the files beside the weights.
struct ModelSizes {
  double input_squares = 0, vocabulary = 0, companions = 0;
};

// Stateless. What its functions are given they do not keep.
class ArtifactKind {
 public:
  virtual ~ArtifactKind() = default;
  virtual std::string_view name() const = 0;         // as a spec names it: "gguf"
  virtual std::string_view called() const = 0;       // by people: "GGUF"
  virtual std::string_view overhead() const = 0;     // what a weight file has beside its tensors, in words
  virtual std::string_view weight_file() const = 0;  // its name

  // PREPARE: tensors with the strategies that rules leave them, header_bytes, and warnings. Errors: those of the rules, and what
  // shows beforehand that no such artifact can be made.
  virtual absl::Status Prepare(const Task& task, const OpenModel& open, Prepared* prepared) const = 0;
  // Whether a rule may give a matrix a format whose blocks share a scale.
  virtual bool stores_blocks() const = 0;
  // What a tensor in a number format takes of the weight file.
  virtual uint64_t BytesInFile(const PreparedTensor& tensor, quant::Format format) const = 0;

  // MEASURE: a curve of every tensor of the shard. INVALID_ARGUMENT / NON_FINITE_WEIGHTS unless the task zeroes such weights.
  virtual absl::StatusOr<Curves> Measure(const Task& task, const StageInputs& in, TensorRange shard) const = 0;

  // SOLVE: appends what a tensor with this curve may play.
  virtual void AddStrategies(const PreparedTensor& tensor, const TensorCurve& curve, game::Player* player,
                             std::vector<Choice>* choices) const = 0;
  // a_t for distortions as Measure has them.
  virtual double LossWeight(const PreparedTensor& tensor, const calibrate::LossWeight& measured) const = 0;
  // `in` outlives the result.
  virtual std::unique_ptr<TensorTrials> MakeTrials(const StageInputs& in) const = 0;
  // Whether llama.cpp's presets are plans of the same game.
  virtual bool plays_presets() const = 0;

  // ENCODE: the data of the shard's tensors, one after another, into `file`, which is empty, and what they are. Tells the observer
  // of every tensor.
  virtual absl::StatusOr<ShardIndex> Encode(const Task& task, const StageInputs& in, TensorRange shard, const Plan& plan,
                                            AtomicFile* file) const = 0;

  // What aligns the tensor after this one, which follows it in the shard's data.
  virtual uint64_t Padding(const PreparedTensor& tensor, const Choice& choice) const = 0;
  // Writes the weight file at `path`; the same bytes for the same inputs.
  virtual absl::StatusOr<artifact::WrittenFile> WriteWeights(const Task& task, const StageInputs& in, const Plan& plan,
                                                             const EncodedModel& encoded, const ExpertLayout& layout,
                                                             const std::string& path,
                                                             const std::function<void(uint64_t)>& progress) const = 0;
  // Whether a plan says the size of its file exactly; otherwise the most that it may have.
  virtual bool knows_size() const = 0;

  // EVALUATE: opens the weight file in `directory`, which may be written to.
  virtual absl::StatusOr<ReadableWeights> Open(const Task& task, const artifact::ExpertOrders& orders,
                                               const std::string& directory) const = 0;

  // PUBLISH: whether the artifact in `directory`, as any reader opens it, is that of the checkpoint in what digests do not show.
  virtual absl::Status Verify(const Task& task, const OpenModel& open, const std::string& directory) const = 0;
  // Adds the files that the artifact has beside the weight file.
  virtual absl::Status AddCompanions(const Task& task, double bits_per_weight, const artifact::ExpertOrders& orders,
                                     const std::string& directory) const = 0;
  // Where the artifact has the checkpoint's names: that of the tensor at this place, for one that lies at another's.
  virtual std::optional<std::string> StoredAs(const PreparedTensor& place) const = 0;
  // Weights in the memory of whoever runs the model.
  virtual uint64_t LoadedBytes(const Prepared& prepared, uint64_t file_bytes) const = 0;

  // NeedsOf (core/pipeline/needs.h), from shapes alone.
  virtual KindNeeds Needs(const Prepared& prepared, const ModelSizes& sizes) const = 0;
  virtual std::vector<KindNeed> EncodeNeeds(const Prepared& prepared) const = 0;  // by shard
};

// Every kind there is, the default of a spec first.
absl::Span<const ArtifactKind* const> AllKinds();
// INVALID_ARGUMENT / SPEC_INVALID for an unknown name.
absl::StatusOr<const ArtifactKind*> FindKind(std::string_view name);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_KINDS_ARTIFACT_KIND_H_

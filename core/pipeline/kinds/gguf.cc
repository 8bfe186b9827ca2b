#include <algorithm>

#include "core/base/status.h"
#include "core/pipeline/chunks.h"
#include "core/pipeline/gguf_head.h"
#include "core/pipeline/kinds/block_chunk.h"
#include "core/pipeline/kinds/gguf_stages.h"

namespace nashswarm::pipeline {
namespace {

// Values of a chunk as they are and decoded, what its encoding by feedback keeps, and its bytes: floats a weight.
constexpr double kFloatsPerWeight = 5;
// A token in the directory's tokenizer, the GGUF's and its vocabulary, which PREPARE and PUBLISH hold at once (gguf_head.cc).
constexpr double kPerToken = 1 << 10;

class BlockTrials : public TensorTrials {
 public:
  explicit BlockTrials(const StageInputs& in) : in_(in) {}

  absl::StatusOr<Tried> Encode(size_t tensor, const Choice& choice, int threads) override {
    Tried tried{{}, in_.prepared.tensors[tensor].AlignedBytes(choice.format), std::nullopt};
    if (!in_.source(tensor).is_player()) return tried;
    NS_ASSIGN_OR_RETURN(tried.decoded, EncodedAndDecoded(in_.source(tensor), in_.ObjectiveOf(tensor), choice.format, threads));
    return tried;
  }

 private:
  const StageInputs& in_;
};

std::vector<checkpoint::GgufTensor> EntriesOf(const Prepared& prepared, const Plan& plan, const EncodedModel& encoded) {
  std::vector<checkpoint::GgufTensor> entries;
  for (size_t t = 0; t < prepared.tensors.size(); ++t) {
    const PreparedTensor& tensor = prepared.tensors[t];
    if (tensor.place > 0) continue;
    checkpoint::GgufTensor entry{tensor.stack, {tensor.row_weights, tensor.rows}, plan.tensors[t].choice.format, 0,
                                 tensor.stack_size * encoded.tensors[t].bytes};
    if (tensor.vector) entry.dims = {tensor.weights()};
    if (tensor.stack != tensor.name) entry.dims.push_back(tensor.stack_size);
    entries.push_back(std::move(entry));
  }
  return entries;
}

// Weights of the largest chunk of a matrix: a thread holds one.
double LargestChunk(const Prepared& prepared) {
  double chunk = 0;
  for (const PreparedTensor& tensor : prepared.tensors) {
    if (tensor.vector) continue;
    const double rows = static_cast<double>(kRowsTogether) * static_cast<double>(tensor.row_weights);
    chunk = std::max(chunk, std::min(static_cast<double>(tensor.weights()), std::max(static_cast<double>(kChunkWeights), rows)));
  }
  return chunk;
}

class GgufKind : public ArtifactKind {
 public:
  std::string_view name() const override { return "gguf"; }
  std::string_view called() const override { return "GGUF"; }
  std::string_view overhead() const override { return "header and tokenizer"; }
  std::string_view weight_file() const override { return artifact::kGgufFile; }

  absl::Status Prepare(const Task& task, const OpenModel& open, Prepared* prepared) const override {
    return PrepareGguf(task, open, prepared);
  }
  bool stores_blocks() const override { return true; }
  uint64_t BytesInFile(const PreparedTensor& tensor, quant::Format format) const override { return tensor.AlignedBytes(format); }

  absl::StatusOr<Curves> Measure(const Task& task, const StageInputs& in, TensorRange shard) const override {
    return MeasureGguf(task, in, shard);
  }

  void AddStrategies(const PreparedTensor& tensor, const TensorCurve& curve, game::Player* player,
                     std::vector<Choice>* choices) const override {
    for (const CurvePoint& point : curve.curve) {
      // The file aligns every tensor, and the alignment is part of its price.
      player->strategies.push_back({tensor.AlignedBytes(point.choice.format), point.distortion});
      choices->push_back(point.choice);
    }
  }
  double LossWeight(const PreparedTensor&, const calibrate::LossWeight& measured) const override { return measured.weight(); }
  std::unique_ptr<TensorTrials> MakeTrials(const StageInputs& in) const override { return std::make_unique<BlockTrials>(in); }
  bool plays_presets() const override { return true; }

  absl::StatusOr<ShardIndex> Encode(const Task& task, const StageInputs& in, TensorRange shard, const Plan& plan,
                                    AtomicFile* file) const override {
    return EncodeGguf(task, in, shard, plan, file);
  }

  uint64_t Padding(const PreparedTensor& tensor, const Choice& choice) const override {
    return tensor.AlignedBytes(choice.format) - *quant::EncodedBytes(choice.format, tensor.rows, tensor.row_weights);
  }
  absl::StatusOr<artifact::WrittenFile> WriteWeights(const Task& task, const StageInputs& in, const Plan& plan,
                                                     const EncodedModel& encoded, const ExpertLayout&, const std::string& path,
                                                     const std::function<void(uint64_t)>& progress) const override {
    NS_ASSIGN_OR_RETURN(GgufHead head, MakeGgufHead(in.open, HeadOptionsOf(task.spec)));  // PREPARE has told its warnings
    artifact::AppendExpertOrders(plan.expert_order, &head.metadata);
    const std::vector<checkpoint::GgufTensor> entries = EntriesOf(in.prepared, plan, encoded);
    SetFileType(entries, &head.metadata);
    return artifact::WriteGguf(path, head.metadata, entries, encoded.pieces, progress);
  }
  bool knows_size() const override { return true; }

  absl::StatusOr<ReadableWeights> Open(const Task&, const artifact::ExpertOrders&, const std::string& directory) const override {
    NS_ASSIGN_OR_RETURN(const artifact::OpenGguf gguf, artifact::Open(directory));
    return ReadableWeights{nullptr, forward::WeightsOf(JoinPath(directory, artifact::kGgufFile), gguf.file, gguf.gguf)};
  }

  // That it cuts texts as the directory does. PREPARE has told what is foreseen.
  absl::Status Verify(const Task& task, const OpenModel& open, const std::string& directory) const override {
    NS_ASSIGN_OR_RETURN(const GgufHead head, MakeGgufHead(open, HeadOptionsOf(task.spec)));
    NS_ASSIGN_OR_RETURN(const artifact::OpenGguf written, artifact::Open(directory));
    std::vector<std::string> told;
    return CheckTokenizer(head, written.gguf, HeadOptionsOf(task.spec), task.sample_path(), &told);
  }
  absl::Status AddCompanions(const Task&, double, const artifact::ExpertOrders&, const std::string&) const override {
    return absl::OkStatus();
  }
  std::optional<std::string> StoredAs(const PreparedTensor&) const override { return std::nullopt; }
  uint64_t LoadedBytes(const Prepared&, uint64_t file_bytes) const override { return file_bytes; }

  KindNeeds Needs(const Prepared& prepared, const ModelSizes& sizes) const override {
    KindNeeds needs;
    needs.measure.thread = needs.search.thread = kFloatsPerWeight * sizeof(float) * LargestChunk(prepared);
    needs.publish.memory = kPerToken * sizes.vocabulary;
    return needs;
  }
  std::vector<KindNeed> EncodeNeeds(const Prepared& prepared) const override {
    return std::vector<KindNeed>(prepared.shards.size(), {0, kFloatsPerWeight * sizeof(float) * LargestChunk(prepared), 0});
  }
};

}  // namespace

const ArtifactKind& Gguf() {
  static const GgufKind* const kind = new GgufKind();
  return *kind;
}

}  // namespace nashswarm::pipeline

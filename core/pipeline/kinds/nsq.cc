#include <algorithm>
#include <cmath>

#include "core/artifact/nsq_artifact.h"
#include "core/base/json_file.h"
#include "core/base/status.h"
#include "core/coding/crc32.h"
#include "core/pipeline/kinds/block_chunk.h"
#include "core/pipeline/kinds/coded_tensor.h"
#include "core/pipeline/kinds/nsq_stages.h"
#include "core/pipeline/kinds/step_strategies.h"
#include "core/pipeline/rules.h"

namespace nashswarm::pipeline {
namespace {

using artifact::NsqTensor;

// Plans are tried with the tensors read, and the moments of their inputs ready, while the model has at most so many weights.
constexpr uint64_t kKeptWeights = 256u << 20;
// The matrix of a moment and its factor, of an input of width w: so many bytes times w^2.
constexpr double kReadyMoment = 8;

quant::Format FormatOf(checkpoint::DType dtype) {
  return dtype == checkpoint::DType::kF16 ? quant::Format::kF16
         : dtype == checkpoint::DType::kBF16 ? quant::Format::kBF16
                                             : quant::Format::kF32;
}

// Every tensor the checkpoint has, in the model's order.
std::vector<PreparedTensor> TensorsOf(const model::Model& model) {
  std::vector<PreparedTensor> tensors;
  for (size_t m = 0; m < model.tensors.size(); ++m) {
    const model::MappedTensor& tensor = model.tensors[m];
    if (tensor.source == nullptr) continue;  // made for GGUF
    PreparedTensor prepared{tensor.name, tensor.source_name(), std::string(model::NameOf(tensor.role)), tensor.source_rows,
                            tensor.source_row_weights, tensor.vector, {}, tensor.name, 0, 1, m};
    if (!tensor.is_player()) prepared.formats = {FormatOf(artifact::PlainDtype(tensor.source->dtype, ReadPlain(tensor)))};
    tensors.push_back(std::move(prepared));
  }
  return tensors;
}

// An entry of the artifact's index, without what encoding shows.
NsqTensor EntryOf(const PreparedTensor& tensor, const model::MappedTensor& source) {
  NsqTensor entry;
  entry.name = tensor.source;
  entry.shape = source.source->shape;
  entry.dtype = source.source->dtype;
  if (IsCoded(tensor)) {
    entry.coding = source.layout == model::Layout::kTransposed ? NsqTensor::Coding::kTransposedStream : NsqTensor::Coding::kStream;
  } else {
    entry.plain_dtype = DTypeOf(tensor.formats.at(0));
    entry.bytes = tensor.weights() * checkpoint::BytesOf(entry.plain_dtype);
  }
  return entry;
}

// Of a router whose rows are reordered.
absl::StatusOr<uint32_t> ChecksumOf(const artifact::Piece& data, const std::vector<uint32_t>& rows) {
  NS_ASSIGN_OR_RETURN(const auto mapping, MappedFile::Open(data.path));
  const uint64_t row_bytes = data.bytes / rows.size();
  std::vector<uint8_t> bytes;
  bytes.reserve(data.bytes);
  for (const uint32_t row : rows) {
    const auto piece = mapping->bytes().subspan(data.begin + row * row_bytes, row_bytes);
    bytes.insert(bytes.end(), piece.begin(), piece.end());
  }
  return coding::Crc32(bytes);
}

// An entry has the name of its place, and says all else of the tensor that lies there.
absl::StatusOr<std::vector<NsqTensor>> IndexOf(const StageInputs& in, const EncodedModel& encoded, const ExpertLayout& layout) {
  std::vector<NsqTensor> index;
  for (size_t t = 0; t < in.prepared.tensors.size(); ++t) {
    const size_t data = layout.DataOf(t);
    const std::optional<EncodedStream>& stream = encoded.tensors[data].stream;
    if (!stream) return FaultIn("shard-*.json", {absl::StrCat("tensors[", data, "].crc32"), "is missing"});
    NsqTensor& entry = index.emplace_back(EntryOf(in.prepared.tensors[data], in.source(data)));
    entry.name = in.prepared.tensors[t].source;
    entry.bytes = encoded.tensors[data].bytes;
    entry.crc = stream->crc32;
    if (layout.RowsOf(t).empty()) continue;
    NS_ASSIGN_OR_RETURN(entry.crc, ChecksumOf(encoded.data[t], layout.RowsOf(t)));
  }
  return index;
}

class StreamTrials : public TensorTrials {
 public:
  explicit StreamTrials(const StageInputs& in) : in_(in), kept_(in.prepared.tensors.size()) {}

  absl::StatusOr<Tried> Encode(size_t tensor, const Choice& choice, int threads) override {
    const PreparedTensor& prepared = in_.prepared.tensors[tensor];
    const model::MappedTensor& source = in_.source(tensor);
    if (choice.has_step()) return EncodeStream(tensor, choice.step, threads);
    if (!source.is_player()) return Tried{{}, Nsq().BytesInFile(prepared, choice.format), std::nullopt};
    // A matrix that a rule keeps in a number format. Its bytes count as aligned, a few more than they will be.
    Tried tried{{}, prepared.AlignedBytes(choice.format), std::nullopt};
    NS_ASSIGN_OR_RETURN(tried.decoded, EncodedAndDecoded(source, in_.ObjectiveOf(tensor), choice.format, threads));
    return tried;
  }

 private:
  absl::StatusOr<Tried> EncodeStream(size_t tensor, double step, int threads) {
    std::unique_ptr<CodedTensor> passing;
    if (kept_[tensor] == nullptr) {
      nsq::Settings settings;
      settings.threads = threads;
      passing = CodedTensor::Read(in_.source(tensor), in_.tied_head, in_.calibrated.moments.get(), 1, settings);
      if (in_.prepared.parameters <= kKeptWeights) kept_[tensor] = std::move(passing);
    }
    const CodedTensor& coded = kept_[tensor] != nullptr ? *kept_[tensor] : *passing;
    NS_ASSIGN_OR_RETURN(const CodedTensor::Encoded encoded, coded.Encode(step, threads));
    return Tried{model::FromCheckpointOrder(in_.source(tensor), encoded.decoded), encoded.stream.size(), encoded.distortion};
  }

  const StageInputs& in_;
  std::vector<std::unique_ptr<CodedTensor>> kept_;
};

class NsqKind : public ArtifactKind {
 public:
  std::string_view name() const override { return "nsq"; }
  std::string_view called() const override { return "nsq artifact"; }
  std::string_view overhead() const override { return "header and index"; }
  std::string_view weight_file() const override { return artifact::kNsqFile; }

  absl::Status Prepare(const Task& task, const OpenModel& open, Prepared* prepared) const override {
    prepared->tensors = TensorsOf(open.model);
    NS_RETURN_IF_ERROR(ApplyRules(task.spec.rules, open.model, *this, prepared));
    std::vector<NsqTensor> entries;
    for (const PreparedTensor& tensor : prepared->tensors) entries.push_back(EntryOf(tensor, open.model.tensors[tensor.mapped]));
    prepared->header_bytes = artifact::NsqOverheadBound(std::move(entries));
    return absl::OkStatus();
  }
  bool stores_blocks() const override { return false; }
  uint64_t BytesInFile(const PreparedTensor& tensor, quant::Format format) const override {
    return tensor.weights() * quant::InfoOf(format).block_bytes;
  }

  absl::StatusOr<Curves> Measure(const Task& task, const StageInputs& in, TensorRange shard) const override {
    return MeasureNsq(task, in, shard);
  }

  void AddStrategies(const PreparedTensor& tensor, const TensorCurve& curve, game::Player* player,
                     std::vector<Choice>* choices) const override {
    std::vector<StepPoint> steps;
    for (const CurvePoint& point : curve.curve) {
      if (IsCoded(tensor)) {
        steps.push_back({point.choice.step, point.bytes, point.distortion});
      } else {
        player->strategies.push_back({point.bytes, point.distortion});
        choices->push_back(point.choice);
      }
    }
    if (IsCoded(tensor)) AddStepStrategies(steps, player, choices);
  }
  double LossWeight(const PreparedTensor& tensor, const calibrate::LossWeight& measured) const override {
    return IsCoded(tensor) ? measured.matrix_weight() : measured.weight();
  }
  std::unique_ptr<TensorTrials> MakeTrials(const StageInputs& in) const override { return std::make_unique<StreamTrials>(in); }
  bool plays_presets() const override { return false; }

  absl::StatusOr<ShardIndex> Encode(const Task& task, const StageInputs& in, TensorRange shard, const Plan& plan,
                                    AtomicFile* file) const override {
    return EncodeNsq(task, in, shard, plan, file);
  }

  uint64_t Padding(const PreparedTensor&, const Choice&) const override { return 0; }
  absl::StatusOr<artifact::WrittenFile> WriteWeights(const Task&, const StageInputs& in, const Plan&, const EncodedModel& encoded,
                                                     const ExpertLayout& layout, const std::string& path,
                                                     const std::function<void(uint64_t)>& progress) const override {
    NS_ASSIGN_OR_RETURN(const std::vector<NsqTensor> index, IndexOf(in, encoded, layout));
    return artifact::WriteNsq(path, index, encoded.pieces, progress);
  }
  bool knows_size() const override { return false; }

  // Unpacked first, as a user would.
  absl::StatusOr<ReadableWeights> Open(const Task& task, const artifact::ExpertOrders& orders,
                                       const std::string& directory) const override {
    NS_RETURN_IF_ERROR(artifact::CopyCompanions(task.model_dir, 0, orders, directory));
    NS_ASSIGN_OR_RETURN(const artifact::OpenNsq packed, artifact::ReadNsq(directory));
    const std::string dense = JoinPath(directory, "dense");
    NS_RETURN_IF_ERROR(artifact::Unpack(packed, checkpoint::DType::kF32, dense, task.threads, [](uint64_t, uint64_t) {}));
    NS_ASSIGN_OR_RETURN(OpenModel unpacked, OpenAndMap(dense));
    ReadableWeights out;
    out.unpacked = std::make_unique<const OpenModel>(std::move(unpacked));
    out.weights = forward::WeightsOf(*out.unpacked->checkpoint, out.unpacked->model);
    return out;
  }

  // It carries the tokenizer's own files.
  absl::Status Verify(const Task&, const OpenModel&, const std::string&) const override { return absl::OkStatus(); }
  absl::Status AddCompanions(const Task& task, double bits_per_weight, const artifact::ExpertOrders& orders,
                             const std::string& directory) const override {
    return artifact::CopyCompanions(task.model_dir, bits_per_weight, orders, directory);
  }
  std::optional<std::string> StoredAs(const PreparedTensor& place) const override { return place.source; }
  uint64_t LoadedBytes(const Prepared& prepared, uint64_t) const override { return prepared.source_weight_bytes; }

  KindNeeds Needs(const Prepared& prepared, const ModelSizes& sizes) const override {
    double weights = 0, players = 0, largest = 0, sample = 0;
    for (const PreparedTensor& tensor : prepared.tensors) {
      const auto of_tensor = static_cast<double>(tensor.weights());
      weights += of_tensor;
      if (tensor.vector) continue;
      players += of_tensor;
      largest = std::max(largest, of_tensor);
      sample = std::max(sample, of_tensor / MeasuredRowStride(tensor));
    }
    KindNeeds needs;
    needs.measure.thread = kBytesPerCodedWeight * sample;
    needs.search.thread = kBytesPerCodedWeight * largest;
    needs.search.memory = sizeof(float) * players + kReadyMoment * sizes.input_squares;  // of the tensors that stay read
    needs.evaluate.memory = kBytesPerCodedWeight * largest;  // unpacking
    needs.evaluate.disk = sizeof(float) * weights + sizes.companions;
    return needs;
  }
  std::vector<KindNeed> EncodeNeeds(const Prepared& prepared) const override {
    std::vector<KindNeed> needs;
    for (const auto& [first, last] : prepared.shards) {
      double large = 0, small = 0;
      for (size_t t = first; t < last; ++t) {
        double& largest = prepared.tensors[t].weights() < kLargeWeights ? small : large;
        largest = std::max(largest, static_cast<double>(prepared.tensors[t].weights()));
      }
      // Streams of at most 8 bits, the best and those being made.
      const auto streams = 2 * static_cast<double>(prepared.WeightsOf({first, last}));
      needs.push_back({kBytesPerCodedWeight * large + streams, kBytesPerCodedWeight * small, 0});
    }
    return needs;
  }
};

}  // namespace

checkpoint::DType DTypeOf(quant::Format format) {
  return format == quant::Format::kF16 ? checkpoint::DType::kF16
         : format == quant::Format::kBF16 ? checkpoint::DType::kBF16
                                          : checkpoint::DType::kF32;
}

std::vector<float> ReadPlain(const model::MappedTensor& tensor) {
  const checkpoint::SourceTensor& source = *tensor.source;
  std::vector<float> values(source.elements());
  checkpoint::ToFloat(source.dtype, source.data.data(), values.size(), values.data());
  return values;
}

const ArtifactKind& Nsq() {
  static const NsqKind* const kind = new NsqKind();
  return *kind;
}

}  // namespace nashswarm::pipeline

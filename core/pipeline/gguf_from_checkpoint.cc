#include "core/pipeline/gguf_from_checkpoint.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "core/artifact/gguf_artifact.h"
#include "core/base/checked.h"
#include "core/base/file.h"
#include "core/base/parallel.h"
#include "core/base/status.h"
#include "core/pipeline/chunks.h"
#include "core/pipeline/open_model.h"
#include "core/quant/error.h"

namespace nashswarm::pipeline {
namespace {

using quant::Format;

constexpr float kMostF16 = 65504;                 // beyond it F16 saturates
constexpr float kMostQ8 = 127 * kMostF16;         // its scale is an F16
constexpr Format kCandidates[] = {Format::kQ8_0, Format::kF16, Format::kBF16, Format::kF32};

// What one chunk, or a tensor, would lose.
struct Loss {
  quant::RowError errors[std::size(kCandidates)];
  float most = 0;
  void operator+=(const Loss& other) {
    for (size_t f = 0; f < std::size(kCandidates); ++f) errors[f] += other.errors[f];
    most = std::max(most, other.most);
  }
  double relative(size_t f) const { return errors[f].energy > 0 ? errors[f].error / errors[f].energy : 0; }
};

bool MayBe(size_t f, const model::MappedTensor& tensor) {
  if (!quant::FitsRow(kCandidates[f], tensor.row_weights)) return false;
  if (kCandidates[f] == Format::kF32) return true;
  if (kCandidates[f] == Format::kBF16) return tensor.source != nullptr && tensor.source->dtype == checkpoint::DType::kBF16;
  return tensor.is_player();
}

// The first of the candidates that does; the last always does.
size_t Choose(const model::MappedTensor& tensor, const Loss& loss) {
  if (!tensor.is_player()) return std::size(kCandidates) - 1;
  for (size_t f = 0; f + 1 < std::size(kCandidates); ++f) {
    const bool overflows = (kCandidates[f] == Format::kF16 && loss.most > kMostF16) ||
                           (kCandidates[f] == Format::kQ8_0 && loss.most > kMostQ8);
    if (MayBe(f, tensor) && !overflows && loss.relative(f) <= kNegligibleError) return f;
  }
  return std::size(kCandidates) - 1;
}

class Writer {
 public:
  Writer(const OpenModel& open, int threads, const std::function<void(uint64_t, uint64_t)>& progress)
      : tensors_(open.model.tensors), threads_(ResolveThreads(threads)), progress_(progress) {
    for (size_t t = 0; t < tensors_.size(); ++t) {
      AppendChunks(t, tensors_[t].rows, tensors_[t].row_weights, &chunks_);
      total_ += 2 * tensors_[t].weights();
    }
  }

  absl::Status ChooseFormats() {
    std::vector<Loss> of_chunks(chunks_.size()), of_tensors(tensors_.size());
    NS_RETURN_IF_ERROR(ParallelFor(threads_, chunks_.size(), [&](uint64_t c) -> absl::Status {
      NS_ASSIGN_OR_RETURN(of_chunks[c], Look(chunks_[c]));
      Done(chunks_[c]);
      return absl::OkStatus();
    }));
    for (size_t c = 0; c < chunks_.size(); ++c) of_tensors[chunks_[c].tensor] += of_chunks[c];  // in order
    size_t last = 0;  // of the stack that tensor t is in
    size_t of_stack = 0;
    for (size_t t = 0; t < tensors_.size(); ++t) {
      const model::MappedTensor& tensor = tensors_[t];
      if (t == 0 || t > last) {
        last = LastOfStack(t);
        of_stack = 0;
        for (size_t s = t; s <= last; ++s) of_stack = std::max(of_stack, Choose(tensors_[s], of_tensors[s]));
      }
      const size_t f = of_stack;
      WrittenGguf::Tensor entry{tensor.name, tensor.source_name(), kCandidates[f], tensor.weights(),
                                *quant::EncodedBytes(kCandidates[f], tensor.rows, tensor.row_weights),
                                tensor.is_player() ? of_tensors[t].relative(f) : 0};
      offsets_.push_back(data_bytes_);
      data_bytes_ += entry.bytes;
      if (t == last) data_bytes_ = AlignUp(data_bytes_, checkpoint::kGgufAlignment);
      if (entry.relative_error > written_.greatest_relative_error) {
        written_.greatest_relative_error = entry.relative_error;
        written_.worst = entry.name;
      }
      written_.tensors.push_back(std::move(entry));
    }
    return absl::OkStatus();
  }

  // All tensors' bytes, as they follow one another in the file.
  absl::Status WriteData(const std::string& path) {
    NS_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
    NS_RETURN_IF_ERROR(file.Truncate(data_bytes_));  // alignment gaps read as zeros
    NS_RETURN_IF_ERROR(ParallelFor(threads_, chunks_.size(), [&](uint64_t c) -> absl::Status {
      const Chunk& chunk = chunks_[c];
      const Format format = written_.tensors[chunk.tensor].format;
      const uint64_t width = tensors_[chunk.tensor].row_weights, row_bytes = *quant::EncodedBytes(format, 1, width);
      const std::vector<float> values = Read(chunk);
      std::vector<uint8_t> encoded(chunk.rows * row_bytes);
      for (uint64_t r = 0; r < chunk.rows; ++r) quant::EncodeRow(format, {&values[r * width], width}, {}, &encoded[r * row_bytes]);
      NS_RETURN_IF_ERROR(file.WriteAt(offsets_[chunk.tensor] + chunk.first * row_bytes, encoded));
      Done(chunk);
      return absl::OkStatus();
    }));
    return file.CommitUnsynced();
  }

  std::vector<checkpoint::GgufTensor> Entries() const {
    std::vector<checkpoint::GgufTensor> entries;
    for (size_t t = 0; t < tensors_.size(); ++t) {
      const size_t members = LastOfStack(t) - t + 1;
      checkpoint::GgufTensor entry{model::StackOf(tensors_[t]), {tensors_[t].row_weights, tensors_[t].rows},
                                   written_.tensors[t].format, 0, members * written_.tensors[t].bytes};
      if (tensors_[t].vector) entry.dims = {tensors_[t].weights()};
      if (tensors_[t].expert >= 0) entry.dims.push_back(members);
      entries.push_back(std::move(entry));
      t += members - 1;
    }
    return entries;
  }

  WrittenGguf& written() { return written_; }

 private:
  // Experts of a layer share a tensor of the file; others are alone in theirs.
  size_t LastOfStack(size_t first) const {
    size_t last = first;
    while (last + 1 < tensors_.size() && model::StackOf(tensors_[last + 1]) == model::StackOf(tensors_[first])) ++last;
    return last;
  }

  std::vector<float> Read(const Chunk& chunk) const {
    std::vector<float> values(chunk.rows * tensors_[chunk.tensor].row_weights);
    model::ReadRows(tensors_[chunk.tensor], chunk.first, chunk.rows, values.data());
    return values;
  }

  absl::StatusOr<Loss> Look(const Chunk& chunk) const {
    const model::MappedTensor& tensor = tensors_[chunk.tensor];
    const uint64_t width = tensor.row_weights;
    const std::vector<float> values = Read(chunk);
    Loss loss;
    for (const float value : values) {
      if (!std::isfinite(value)) {
        return MakeError(absl::StatusCode::kInvalidArgument, "NON_FINITE_WEIGHTS",
                         absl::StrCat("tensor '", tensor.source_name(), "' has NaN or infinite weights"),
                         "the checkpoint is damaged or training diverged");
      }
      loss.most = std::max(loss.most, std::abs(value));
    }
    if (!tensor.is_player()) return loss;
    std::vector<uint8_t> encoded(width * sizeof(float));
    std::vector<float> decoded(width);
    for (size_t f = 0; f < std::size(kCandidates); ++f) {
      if (!MayBe(f, tensor)) continue;
      for (uint64_t r = 0; r < chunk.rows; ++r) {
        const absl::Span<const float> row(&values[r * width], width);
        quant::EncodeRow(kCandidates[f], row, {}, encoded.data());
        quant::DecodeRow(kCandidates[f], encoded.data(), absl::MakeSpan(decoded));
        loss.errors[f] += quant::CompareRows(row, decoded, {});
      }
    }
    return loss;
  }

  void Done(const Chunk& chunk) {
    std::lock_guard<std::mutex> lock(mutex_);
    done_ += chunk.rows * tensors_[chunk.tensor].row_weights;
    progress_(done_, total_);
  }

  const std::vector<model::MappedTensor>& tensors_;
  int threads_;
  const std::function<void(uint64_t, uint64_t)>& progress_;
  std::vector<Chunk> chunks_;
  std::vector<uint64_t> offsets_;
  uint64_t data_bytes_ = 0, total_ = 0;
  WrittenGguf written_;
  std::mutex mutex_;
  uint64_t done_ = 0;
};

}  // namespace

absl::StatusOr<WrittenGguf> WriteGgufOf(const std::string& checkpoint_dir, const std::string& path, int threads,
                                        const HeadOptions& options, const artifact::ExpertOrders& orders,
                                        const std::function<void(uint64_t done, uint64_t total)>& progress) {
  NS_ASSIGN_OR_RETURN(const OpenModel open, OpenAndMap(checkpoint_dir));
  NS_ASSIGN_OR_RETURN(GgufHead head, MakeGgufHead(open, options));
  checkpoint::GgufFile with_head;
  with_head.metadata = head.metadata;
  NS_RETURN_IF_ERROR(CheckTokenizer(head, with_head, options, "", &head.warnings));
  artifact::AppendExpertOrders(orders, &head.metadata);
  Writer writer(open, threads, progress);
  NS_RETURN_IF_ERROR(writer.ChooseFormats());
  const std::string parent = DirName(path);
  NS_ASSIGN_OR_RETURN(const TemporaryDirectory scratch, TemporaryDirectory::Create(parent.empty() ? "." : parent));
  SetFileType(writer.Entries(), &head.metadata);
  const std::string data = JoinPath(scratch.path(), "tensors");
  NS_RETURN_IF_ERROR(writer.WriteData(data));
  NS_ASSIGN_OR_RETURN(const artifact::WrittenFile file, artifact::WriteGguf(path, head.metadata, writer.Entries(), {data}, [](uint64_t) {}));
  writer.written().bytes = file.bytes;
  writer.written().warnings = std::move(head.warnings);
  return std::move(writer.written());
}

}  // namespace nashswarm::pipeline

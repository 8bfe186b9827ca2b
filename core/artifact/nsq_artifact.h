// nsq artifacts: a Hugging Face directory whose model.nsq holds a compressed index and one block of coded tensors.
// Format: docs/nsq-format.md.
#ifndef NASHSWARM_CORE_ARTIFACT_NSQ_ARTIFACT_H_
#define NASHSWARM_CORE_ARTIFACT_NSQ_ARTIFACT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/artifact/expert_order.h"
#include "core/artifact/gguf_artifact.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/checkpoint/dtype.h"
#include "core/nsq/stream.h"

namespace nashswarm::artifact {

// Not model.safetensors: who does not know the format would find that, know none of its names, and go on with random weights.
inline constexpr char kNsqFile[] = "model.nsq";
inline constexpr char kFirstNsqFile[] = "model.safetensors";  // the name in artifacts of the first writers, still read
inline constexpr char kUnpackedFile[] = "model.safetensors";
inline constexpr char kNsqMethod[] = "nashswarm";  // quantization_config.quant_method in config.json
inline constexpr int kNsqVersion = 1;

// A tensor of the artifact, in file order. Two-dimensional ones may be coded as a matrix whose rows are outputs.
struct NsqTensor {
  std::string name;                  // in the checkpoint
  std::vector<uint64_t> shape;       // there
  checkpoint::DType dtype;           // there
  enum class Coding { kStream, kTransposedStream, kPlain } coding = Coding::kPlain;
  checkpoint::DType plain_dtype = checkpoint::DType::kF16;  // of kPlain
  uint64_t bytes = 0;                // stored
  uint32_t crc = 0;                  // of kPlain; streams carry their own
  // Filled in by ParseNsq.
  uint64_t offset = 0;               // from the start of the block

  bool coded() const { return coding != Coding::kPlain; }
  uint64_t weights() const;
  // Of a coded tensor's stream.
  uint32_t rows() const { return static_cast<uint32_t>(shape[coding == Coding::kTransposedStream ? 1 : 0]); }
  uint32_t columns() const { return static_cast<uint32_t>(shape[coding == Coding::kTransposedStream ? 0 : 1]); }
};

// The least exact dtype that holds a tensor next to nothing is lost of: the checkpoint's own when that has 16 bits, F16 for
// wider ones whose values fit it, else F32.
checkpoint::DType PlainDtype(checkpoint::DType source, absl::Span<const float> values);
std::string PlainBytes(checkpoint::DType dtype, absl::Span<const float> values);

// Bytes of the file around the tensors' own: header and index. An upper bound whatever `bytes` and `crc` will be, as long as a
// coded tensor takes at most 16 bytes a weight and 64 KiB, far more than any stream does.
uint64_t NsqOverheadBound(std::vector<NsqTensor> tensors);

// Writes the weight file at `path`, whole or not at all (not synced). `parts` hold the tensors' bytes in order, gapless.
// INTERNAL / ARTIFACT_SIZE when they do not add up.
absl::StatusOr<WrittenFile> WriteNsq(const std::string& path, const std::vector<NsqTensor>& tensors,
                                     absl::Span<const Piece> parts, const std::function<void(uint64_t)>& progress);

// The other files of an artifact: config.json with quantization_config and transformers_weights added, and every file of the checkpoint that is neither
// weights nor an index of them, byte for byte, into `directory`. `orders`: of the artifact's experts, empty when it is the
// checkpoint's.
absl::Status CopyCompanions(const std::string& checkpoint_directory, double bits_per_weight, const ExpertOrders& orders,
                            const std::string& directory);

// What the bytes of a weight file say: every entry checked, no tensor looked at yet.
struct NsqContents {
  std::vector<NsqTensor> tensors;
  uint64_t block_begin = 0;  // of the first tensor, from the start of the file
};

// Refuses what is not of this format or lies about its own size before anything is allocated from it. DATA_LOSS with NSQ_INDEX or
// a reason of ParseSafetensors, INVALID_ARGUMENT with JSON_* for a header that is no JSON. `what` names the file in errors.
absl::StatusOr<NsqContents> ParseNsq(absl::Span<const uint8_t> file, const std::string& what);

// Whether a tensor's bytes are whole and decode to finite numbers. DATA_LOSS with NSQ_STREAM, NSQ_TILE, NSQ_TENSOR or
// ARTIFACT_NON_FINITE names the tensor, and the tile. Memory: one tile, or a plain tensor.
absl::Status VerifyTensor(const NsqTensor& tensor, absl::Span<const uint8_t> bytes);

struct OpenNsq {
  std::string directory;
  std::shared_ptr<const MappedFile> file;
  std::vector<NsqTensor> tensors;
  uint64_t block_begin = 0;
  std::optional<Json> manifest;

  absl::Span<const uint8_t> BytesOf(const NsqTensor& tensor) const {
    return file->bytes().subspan(block_begin + tensor.offset, tensor.bytes);
  }
  absl::StatusOr<nsq::Stream> StreamOf(const NsqTensor& tensor) const;  // of a coded one
};

// Whether `path` is a directory with config.json of our quant_method.
bool IsNsq(const std::string& path);

// Maps the directory's weight file, parses it, and reads manifest.json if there is one. Errors as ParseNsq.
absl::StatusOr<OpenNsq> ReadNsq(const std::string& directory);

// The order of experts that its config.json says; empty without either. DATA_LOSS / EXPERT_ORDER_INVALID.
absl::StatusOr<ExpertOrders> ExpertOrdersOf(const OpenNsq& artifact);

// The manifest's size and SHA-256, every checksum, the order of experts, and that every weight decodes to a finite number.
// DATA_LOSS with ARTIFACT_DIGEST, NSQ_STREAM, NSQ_TILE, NSQ_TENSOR, EXPERT_ORDER_INVALID, ARTIFACT_NON_FINITE.
absl::Status Verify(const OpenNsq& artifact, int threads, const std::function<void(uint64_t, uint64_t)>& progress);

// Decodes one tensor into `out`, in the checkpoint's shape, as `dtype` (F32, F16, BF16); `out` has room for just that
// (INVALID_ARGUMENT / BUFFER_SIZE) and is aligned to an element. Errors as Unpack; what `out` holds then is of no use.
absl::Status DecodeTensor(const OpenNsq& artifact, const NsqTensor& tensor, checkpoint::DType dtype, int threads, absl::Span<uint8_t> out);

// What the checkpoint's weights were, as its config.json says it (`dtype`, or `torch_dtype` in older ones); F32 when it does not say.
checkpoint::DType CheckpointDtype(const OpenNsq& artifact);

// Decodes the artifact into the directory `out`: model.safetensors in `dtype` (F32, F16, BF16) under the checkpoint's names and
// shapes, config.json as it was, and the companions; an order of experts goes into the metadata of model.safetensors. The same
// bytes at any number of threads and on any machine. `out` may lie inside the artifact. Memory: one tensor. Whole or not at all,
// as far as the weights go. DATA_LOSS as Verify, without the digest; OUT_OF_RANGE / DTYPE_TOO_NARROW when a weight is beyond the
// range of F16.
absl::Status Unpack(const OpenNsq& artifact, checkpoint::DType dtype, const std::string& out, int threads,
                    const std::function<void(uint64_t, uint64_t)>& progress);

}  // namespace nashswarm::artifact

#endif  // NASHSWARM_CORE_ARTIFACT_NSQ_ARTIFACT_H_

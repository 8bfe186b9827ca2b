// Writes and checks GGUF artifacts: model.gguf with manifest.json beside it.
#ifndef NASHSWARM_CORE_ARTIFACT_GGUF_ARTIFACT_H_
#define NASHSWARM_CORE_ARTIFACT_GGUF_ARTIFACT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/artifact/pieces.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/checkpoint/gguf.h"
#include "core/checkpoint/split_gguf.h"

namespace nashswarm::artifact {

inline constexpr char kGgufFile[] = "model.gguf";
inline constexpr char kManifestFile[] = "manifest.json";
inline constexpr char kManifestSchema[] = "nashswarm.manifest/1";

struct WrittenFile {
  uint64_t bytes = 0;
  std::string sha256;  // 32 raw bytes
};

// Writes `path`, whole or not at all (not synced: the store that takes it does that): the header, then `parts` one after
// another, which hold the tensors' data in order with every tensor padded to the alignment. INTERNAL / ARTIFACT_SIZE
// when the parts do not add up to the tensors, or one ends beyond its file. `progress` hears the bytes written so far.
absl::StatusOr<WrittenFile> WriteGguf(const std::string& path, absl::Span<const checkpoint::GgufMetadata> metadata,
                                      std::vector<checkpoint::GgufTensor> tensors, absl::Span<const Piece> parts,
                                      const std::function<void(uint64_t)>& progress);

// A GGUF file opened for reading: anybody's, or an artifact of ours with its manifest.
struct OpenGguf {
  std::shared_ptr<const MappedFile> file;
  checkpoint::GgufFile gguf;
  uint64_t bytes = 0;  // of the file, or of the parts of a split model
  size_t parts = 1;
  std::optional<Json> manifest;

  absl::Span<const uint8_t> DataOf(const checkpoint::GgufTensor& tensor) const {
    return file->bytes().subspan(gguf.data_begin + tensor.offset, tensor.bytes);
  }
};

// `path` is a .gguf file, a part of a split model whose other parts lie beside it, or a directory that holds model.gguf. A
// manifest.json in the directory is read too.
absl::StatusOr<OpenGguf> Open(const std::string& path);

// Everything that can be checked without the checkpoint: the manifest's size and SHA-256 of the file, an order of experts that
// it may have (expert_order.h), and that every tensor decodes to finite numbers. DATA_LOSS with ARTIFACT_DIGEST,
// EXPERT_ORDER_INVALID or ARTIFACT_NON_FINITE names what is damaged; UNIMPLEMENTED / GGUF_TYPE_UNSUPPORTED what cannot be checked.
absl::Status Verify(const OpenGguf& artifact, int threads, const std::function<void(uint64_t, uint64_t)>& progress);

}  // namespace nashswarm::artifact

#endif  // NASHSWARM_CORE_ARTIFACT_GGUF_ARTIFACT_H_

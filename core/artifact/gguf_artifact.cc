#include "core/artifact/gguf_artifact.h"

#include <atomic>
#include <cmath>
#include <mutex>

#include "core/artifact/expert_order.h"
#include "core/base/checked.h"
#include "core/base/hash.h"
#include "core/base/parallel.h"
#include "core/base/status.h"
#include "core/quant/format.h"

namespace nashswarm::artifact {
namespace {

std::string_view AsText(absl::Span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

absl::Status Damaged(std::string_view reason, const std::string& why) {
  return MakeError(absl::StatusCode::kDataLoss, reason, why, "download or compress it again");
}

absl::Status CheckDigest(const OpenGguf& artifact) {
  if (!artifact.manifest.has_value() || !artifact.manifest->contains("artifact")) return absl::OkStatus();
  const Json& expected = (*artifact.manifest)["artifact"];
  const uint64_t bytes = artifact.file->bytes().size();
  if (JsonInt(expected, "bytes", -1) != static_cast<int64_t>(bytes)) {
    return Damaged("ARTIFACT_DIGEST", absl::StrCat(artifact.file->path(), ": has ", bytes, " bytes, its manifest says ",
                                                   JsonInt(expected, "bytes", -1)));
  }
  if (ToHex(Sha256Of(AsText(artifact.file->bytes()))) != JsonString(expected, "sha256")) {
    return Damaged("ARTIFACT_DIGEST", absl::StrCat(artifact.file->path(), ": its SHA-256 is not the manifest's"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<WrittenFile> WriteGguf(const std::string& path, absl::Span<const checkpoint::GgufMetadata> metadata,
                                      std::vector<checkpoint::GgufTensor> tensors, absl::Span<const Piece> parts,
                                      const std::function<void(uint64_t)>& progress) {
  const std::string header = checkpoint::SerializeGgufHeader(metadata, &tensors);
  uint64_t expected = header.size();
  for (const auto& tensor : tensors) expected += AlignUp(tensor.bytes, checkpoint::kGgufAlignment);

  Sha256 hash;
  NS_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  hash.Update(header);
  NS_RETURN_IF_ERROR(file.Append(header));
  NS_RETURN_IF_ERROR(AppendPieces(parts, &file, &hash, progress));
  if (file.position() != expected) {
    return MakeError(absl::StatusCode::kInternal, "ARTIFACT_SIZE",
                     absl::StrCat(path, ": its parts make ", file.position(), " bytes, its tensors ", expected));
  }
  NS_RETURN_IF_ERROR(file.CommitUnsynced());
  return WrittenFile{expected, hash.Finish()};
}

absl::StatusOr<OpenGguf> Open(const std::string& path) {
  const bool directory = IsDirectory(path);
  const std::string gguf_path = directory ? JoinPath(path, kGgufFile) : path;
  const std::string manifest_path = JoinPath(directory ? path : DirName(path), kManifestFile);
  OpenGguf open;
  NS_ASSIGN_OR_RETURN(checkpoint::GgufParts model, checkpoint::OpenGgufParts(gguf_path));
  open.file = std::move(model.file);
  open.gguf = std::move(model.gguf);
  open.bytes = model.bytes;
  open.parts = model.paths.size();
  if (PathExists(manifest_path) && BaseName(gguf_path) == kGgufFile) {
    NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(manifest_path));
    NS_ASSIGN_OR_RETURN(Json manifest, ParseJson(text, manifest_path));
    if (JsonString(manifest, "schema") == kManifestSchema) open.manifest = std::move(manifest);
  }
  return open;
}

absl::Status Verify(const OpenGguf& artifact, int threads, const std::function<void(uint64_t, uint64_t)>& progress) {
  NS_RETURN_IF_ERROR(CheckDigest(artifact));
  NS_RETURN_IF_ERROR(ExpertOrdersOf(artifact.gguf, artifact.file->path()).status());
  uint64_t total = 0;
  for (const auto& tensor : artifact.gguf.tensors) total += tensor.bytes;
  std::atomic<uint64_t> done{0};
  std::mutex mutex;
  return ParallelFor(ResolveThreads(threads), artifact.gguf.tensors.size(), [&](uint64_t t) -> absl::Status {
    const auto& tensor = artifact.gguf.tensors[t];
    // The type is ggml's and the bytes are there; whether they are numbers cannot be told, and is not called ok.
    NS_RETURN_IF_ERROR(checkpoint::CheckDecodable(tensor, artifact.file->path()));
    const auto data = artifact.DataOf(tensor);
    std::vector<float> row(tensor.row_weights());
    const uint64_t rows = row.empty() ? 0 : tensor.rows();
    const uint64_t row_bytes = rows == 0 ? 0 : data.size() / rows;
    for (uint64_t r = 0; r < rows; ++r) {
      quant::DecodeRow(tensor.format, data.data() + r * row_bytes, absl::MakeSpan(row));
      for (const float value : row) {
        if (std::isfinite(value)) continue;
        return Damaged("ARTIFACT_NON_FINITE", absl::StrCat(artifact.file->path(), ": tensor '", tensor.name, "' row ", r,
                                                           " decodes to NaN or infinity"));
      }
    }
    const uint64_t so_far = done.fetch_add(tensor.bytes) + tensor.bytes;
    std::lock_guard<std::mutex> lock(mutex);
    progress(so_far, total);
    return absl::OkStatus();
  });
}

}  // namespace nashswarm::artifact

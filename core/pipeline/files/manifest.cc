#include "core/pipeline/files/manifest.h"

#include "core/artifact/gguf_artifact.h"
#include "core/base/file.h"
#include "core/pipeline/files/plan_fields.h"

namespace nashswarm::pipeline {

template <typename V, MaybeConst<ManifestSource> T>
void Fields(V& v, T& source) {
  v("name", source.name);
  v("digest", source.digest);
  v("weight_bytes", source.weight_bytes);
  v("architecture", source.architecture);
  v("parameters", source.parameters);
}

template <typename V, MaybeConst<ManifestFile> T>
void Fields(V& v, T& file) {
  v("file", file.file);
  v("bytes", file.bytes);
  v("sha256", file.sha256);
}

template <typename V, MaybeConst<ManifestTensor> T>
void Fields(V& v, T& tensor) {
  v("bits_per_weight", tensor.bits_per_weight);
  v("bytes", tensor.bytes);
  v("format", tensor.format);
  v("loss_weight", tensor.loss_weight);
  v("name", tensor.name);
  v("relative_error", tensor.relative_error);
  v("role", tensor.role);
  v("row_weights", tensor.row_weights);
  v("rows", tensor.rows);
  v("source", tensor.source);
  v("stored_as", tensor.stored_as);
}

template <typename V, MaybeConst<Manifest> T>
void Fields(V& v, T& manifest) {
  v("source", manifest.source);
  v("artifact", manifest.artifact);
  v("result", manifest.result);
  v("plan", manifest.plan);
  v("tensors", manifest.tensors);
}

absl::Status Manifest::Write(const std::string& directory) const {
  OrderedJson json = {{"schema", artifact::kManifestSchema}, {"engine", "nashswarm " NASHSWARM_VERSION}};
  JsonWriter writer(&json, JsonWriter::NonFinite::kNull);
  Fields(writer, *this);
  return WriteFileUnsynced(JoinPath(directory, artifact::kManifestFile), json.dump(1) + "\n");
}

}  // namespace nashswarm::pipeline

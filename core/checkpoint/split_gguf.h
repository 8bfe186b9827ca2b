// A GGUF model in one file, or in the parts that llama.cpp's llama-gguf-split makes: NAME-00001-of-00003.gguf and so on, of which
// the first has the metadata, every one its own tensors, and "split.no", "split.count" and "split.tensors.count".
#ifndef NASHSWARM_CORE_CHECKPOINT_SPLIT_GGUF_H_
#define NASHSWARM_CORE_CHECKPOINT_SPLIT_GGUF_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/file.h"
#include "core/checkpoint/gguf.h"

namespace nashswarm::checkpoint {

struct GgufParts {
  std::vector<std::string> paths;          // one when the model is not split
  std::shared_ptr<const MappedFile> file;  // of all parts together
  GgufFile gguf;                           // tensors of all parts; offsets count from data_begin of the first, in `file`
  uint64_t bytes = 0;                      // of the files
};

// `path` is the file, or any of the parts; the others lie beside it. Errors of ParseGguf; DATA_LOSS / GGUF_PART_MISSING names the
// parts that are not there, GGUF_INVALID parts that do not belong together.
absl::StatusOr<GgufParts> OpenGgufParts(const std::string& path);

}  // namespace nashswarm::checkpoint

#endif  // NASHSWARM_CORE_CHECKPOINT_SPLIT_GGUF_H_

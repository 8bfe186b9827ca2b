// Where the bytes of a model's experts are: in the shards of a checkpoint, in a GGUF file's stacks, in an nsq artifact.
#ifndef NASHSWARM_CORE_ROUTE_EXPERT_FILES_H_
#define NASHSWARM_CORE_ROUTE_EXPERT_FILES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/artifact/nsq_artifact.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/gguf.h"
#include "core/expert_cache/pages_touched.h"
#include "core/model/architecture.h"

namespace nashswarm::route {

struct ExpertFiles {
  struct File {
    std::string path;
    uint64_t begin = 0;  // in `layout`, a multiple of kFileAlignment: the files as if they were one
    uint64_t bytes = 0;
  };
  std::vector<File> files;
  uint32_t layers = 0, experts = 0;  // of a layer
  expert_cache::FileLayout layout;   // parts by layer * experts + expert; of the shared expert nothing

  std::vector<uint64_t> sizes() const;  // bytes of each expert's parts together, in the order of layout.parts
};

inline constexpr uint64_t kFileAlignment = 1 << 16;  // a multiple of every machine's page

// FAILED_PRECONDITION / NO_EXPERTS.
absl::Status NoExperts(const std::string& model);

// Errors, of all: NoExperts.
absl::StatusOr<ExpertFiles> FindExperts(const checkpoint::Checkpoint& checkpoint, const model::Model& mapping);
absl::StatusOr<ExpertFiles> FindExperts(const std::string& path, uint64_t bytes, const checkpoint::GgufFile& gguf);
// `mapping`: of the checkpoint that the artifact unpacks to.
absl::StatusOr<ExpertFiles> FindExperts(const artifact::OpenNsq& artifact, const model::Model& mapping);

}  // namespace nashswarm::route

#endif  // NASHSWARM_CORE_ROUTE_EXPERT_FILES_H_

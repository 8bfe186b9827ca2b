// What the engine says that it knows (`nashswarm-engine describe`, core/engine/README.md). The server keeps no list of its own.
#ifndef NASHSWARM_SERVER_WORKER_ENGINE_DESCRIPTION_H_
#define NASHSWARM_SERVER_WORKER_ENGINE_DESCRIPTION_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace nashswarm::server {

struct EngineDescription {
  struct NumberFormat {
    std::string name;
    double bits_per_weight = 0;
    int32_t block_weights = 0;
  };

  std::string version;
  std::vector<std::string> architectures;   // as config.json names them: model_type
  std::vector<NumberFormat> number_formats;
  std::vector<std::string> artifact_kinds;  // the one that is made when nobody says which comes first
  std::vector<std::string> stages;
  int64_t max_header_bytes = 0;             // of a safetensors file

  // By its name in any case; nullptr: there is none.
  const NumberFormat* FindNumberFormat(std::string_view name) const;
};

// INTERNAL / ENGINE_PROTOCOL when it is no description, or lists nothing where something must be.
absl::StatusOr<EngineDescription> ParseEngineDescription(std::string_view json);

// FAILED_PRECONDITION / ENGINE_VERSION unless the engine is of this server's version and knows every stage of its table.
absl::Status CheckEngine(const EngineDescription& engine, std::string_view version);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_WORKER_ENGINE_DESCRIPTION_H_

// What people give for a checkpoint and is none, said for what it is: a GGUF file, an nsq artifact, an adapter.
#ifndef NASHSWARM_CLIENT_CLI_NO_SOURCE_H_
#define NASHSWARM_CLIENT_CLI_NO_SOURCE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace nashswarm::cli {

// FAILED_PRECONDITION / GGUF_AS_SOURCE when `path` is a GGUF file, by its name or its first bytes.
absl::Status RefuseGgufFile(const std::string& path);

// The same when there is a GGUF file among `names`, those of a directory without safetensors weights.
absl::Status RefuseGgufAmong(const std::string& directory, const std::vector<std::string>& names);

// NSQ_AS_SOURCE when one of the files of `directory` is an nsq artifact's weights.
absl::Status RefuseNsqAmong(const std::string& directory, const std::vector<std::string>& names);

bool IsAdapterFile(const std::string& name);  // adapter_config.json, adapter_model.safetensors
// FAILED_PRECONDITION / ADAPTER_AS_SOURCE, with the base model that its adapter_config.json names.
absl::Status AdapterError(const std::string& directory);

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_NO_SOURCE_H_

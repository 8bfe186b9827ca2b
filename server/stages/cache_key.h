// What identifies the outputs of a task, so that an identical one of another job may take them. Pure.
#ifndef NASHSWARM_SERVER_STAGES_CACHE_KEY_H_
#define NASHSWARM_SERVER_STAGES_CACHE_KEY_H_

#include <string>
#include <vector>

#include "server/store/task.h"

namespace nashswarm::server {

// Raw SHA-256 of engine, tenant, stage, shard, model content, inputs, and the parts of the spec and the content of the data files
// that the stage reads. No name of anything is part of it.
std::string TaskCacheKey(const std::string& engine_digest, const ClaimedTask& task,
                         const std::vector<TaskOutput>& inputs);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STAGES_CACHE_KEY_H_

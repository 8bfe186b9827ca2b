// What tasks need of a machine, so that a worker takes those that fit. The engine estimates it in PREPARE
// (core/engine/README.md, "needs"); what comes before, and an answer that cannot be trusted, is judged by the model's
// size. Pure functions.
#ifndef NASHSWARM_SERVER_STAGES_NEEDS_H_
#define NASHSWARM_SERVER_STAGES_NEEDS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "server/store/task.h"

namespace nashswarm::server {

struct Need {
  int64_t memory_bytes = 0, disk_bytes = 0;  // private resident memory; what it writes
  friend bool operator==(const Need&, const Need&) = default;
};

struct ModelSize {
  int64_t weight_bytes = 0, total_bytes = 0;
};
ModelSize SizeOf(const std::vector<ModelFile>& files);

// Whose result says what all later stages need.
inline constexpr Stage kNeedsSaidBy = v1::Job::PREPARE;
// Of that stage itself, and of the check of a model that is being published: they read headers and the tokenizer, and map the
// weights.
Need NeedOfPrepare(const ModelSize& model);

// The task's need with so many threads, from the result of kNeedsSaidBy. nullopt unless "needs" is there with three whole numbers
// from 0 on for the stage, or in a list of its shards for this one: a need that is wrong could let too many tasks run,
// or none.
std::optional<Need> ReadNeed(const Json& prepare_result, Stage stage, int shard, const v1::CompressionSpec& spec,
                             int threads);

// Not less than any model of this size takes: for when there is nothing to read.
Need FallbackNeed(Stage stage, const ModelSize& model);

// Fills in what `tasks`, which follow `task` with this result, need.
void AddNeeds(const ClaimedTask& task, const std::string& result_json, int threads, std::vector<NewTask>* tasks);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STAGES_NEEDS_H_

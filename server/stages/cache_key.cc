#include "server/stages/cache_key.h"

#include "core/base/hash.h"
#include "server/stages/spec_json.h"
#include "server/stages/stage.h"

namespace nashswarm::server {

std::string TaskCacheKey(const std::string& engine_digest, const ClaimedTask& task,
                         const std::vector<TaskOutput>& inputs) {
  Json key;  // its keys are sorted, so equal content is equal text
  key["engine"] = ToHex(engine_digest);
  key["tenant"] = task.tenant;  // how soon a result is there must not tell what others have
  const StageRow& stage = RowOf(task.lease.key.stage);
  key["stage"] = stage.name;
  key["shard"] = task.lease.key.shard;
  key["model"] = ToHex(task.model_manifest.sha256);
  Json& spec = key["spec"] = SpecToJson(task.spec);
  for (const char* unread : stage.unread) spec.erase(unread);
  // Data files stand in it by their content, so that a text under another name is the same text, and another text under the same
  // name is not.
  key["data"] = Json::object();
  for (const DataFile& file : task.data) key["data"][file.purpose] = ToHex(file.digest.sha256);
  key["inputs"] = Json::object();
  for (const TaskOutput& input : inputs) key["inputs"][input.name] = ToHex(input.digest.sha256);
  return Sha256Of(key.dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace nashswarm::server

#include "tests/support/run_pipeline.h"

#include "core/base/file.h"
#include "core/base/status.h"

namespace nashswarm::testing {

void RecordingObserver::Progress(uint64_t done, uint64_t total, const std::string&) {
  last_done = done;
  last_total = total;
}
void RecordingObserver::TensorDone(const std::string& tensor, const std::string&, double, double) { tensors.push_back(tensor); }
void RecordingObserver::Log(const std::string& severity, const std::string& text) { logs.push_back(severity + ": " + text); }

absl::StatusOr<Json> RunPipeline(const std::string& model_dir, const std::string& work, const pipeline::Spec& spec,
                                 int threads, RecordingObserver* observer, const Texts& texts) {
  NS_RETURN_IF_ERROR(MakeDirectories(work));
  pipeline::Task task{model_dir, work, work, spec, 0, threads, "00", observer, texts.calibration, texts.evaluation};
  NS_ASSIGN_OR_RETURN(const Json prepared, pipeline::Prepare(task));
  const int shards = prepared.at("shards");
  if (spec.calibrates()) NS_RETURN_IF_ERROR(pipeline::Calibrate(task).status());
  for (task.shard = 0; task.shard < shards; ++task.shard) NS_RETURN_IF_ERROR(pipeline::Measure(task).status());
  task.shard = 0;
  NS_ASSIGN_OR_RETURN(const Json solved, pipeline::SolvePlan(task));
  const int rounds = solved.at("search_rounds");
  for (bool done = rounds == 0; !done && task.shard < rounds; ++task.shard) {
    NS_ASSIGN_OR_RETURN(const Json searched, pipeline::Search(task));
    done = searched.at("done");
  }
  for (task.shard = 0; task.shard < shards; ++task.shard) NS_RETURN_IF_ERROR(pipeline::Encode(task).status());
  task.shard = 0;
  if (spec.evaluates()) NS_RETURN_IF_ERROR(pipeline::Evaluate(task).status());
  return pipeline::Publish(task);
}

pipeline::Spec BitsPerWeight(double bits) {
  pipeline::Spec spec;
  spec.bits_per_weight = bits;
  return spec;
}

}  // namespace nashswarm::testing

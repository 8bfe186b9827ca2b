#include "core/pipeline/files/plan.h"

#include "core/base/file.h"
#include "core/base/json_file.h"
#include "core/base/status.h"
#include "core/pipeline/files/plan_fields.h"
#include "core/pipeline/files/search_round.h"

namespace nashswarm::pipeline {

std::vector<double> Plan::LossWeights() const {
  std::vector<double> weights;
  for (const PlannedTensor& tensor : tensors) weights.push_back(tensor.loss_weight);
  return weights;
}

absl::StatusOr<Plan> Plan::Read(const std::string& directory, const Prepared& prepared) {
  const std::string path = JoinPath(directory, kFile);
  NS_ASSIGN_OR_RETURN(Plan plan, ReadJsonFile<Plan>(path, kVersion));
  if (plan.tensors.size() != prepared.tensors.size()) return FaultIn(path, {"tensors", "is not a list of the model's tensors"});
  return plan;
}

absl::Status Plan::Write(const std::string& directory) const { return WriteJsonFile(JoinPath(directory, kFile), kVersion, *this); }

absl::StatusOr<Plan> ReadPlanToEncode(const std::string& directory, const Prepared& prepared) {
  NS_ASSIGN_OR_RETURN(std::optional<SearchRound> searched, SearchRound::ReadLast(directory, prepared));
  if (searched) return std::move(searched->plan);
  return Plan::Read(directory, prepared);
}

}  // namespace nashswarm::pipeline

// plan.json: what SOLVE decided, and how.
#ifndef NASHSWARM_CORE_PIPELINE_FILES_PLAN_H_
#define NASHSWARM_CORE_PIPELINE_FILES_PLAN_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/artifact/expert_order.h"
#include "core/pipeline/files/choice.h"
#include "core/pipeline/files/prepared.h"
#include "core/report/report.h"

namespace nashswarm::pipeline {

// The equilibrium at a size.
struct FrontierPoint {
  uint64_t bytes = 0;  // of the file
  double loss = 0;     // predicted
};

// A plan that was encoded and run.
struct Trial {
  uint64_t bytes = 0;  // of the file
  double predicted_loss = 0;
  double mean_kl = 0, perplexity = 0, perplexity_change = 0;
  bool passed = false;
};

struct PlannedTensor {
  Choice choice;
  uint64_t bytes = 0;      // of GGUF: with what aligns it
  double distortion = 0;   // as predicted
  double loss_weight = 0;  // a_t
};

// A plan of the same size made with parts of the method only: core/report/report.h has what they are.
struct Ablation {
  std::string name;
  uint64_t bytes = 0;      // of the file
  double mean_kl = 0;
};

// What SEARCH did, for the report.
struct SearchTrace {
  std::string text;        // that plans were chosen by, in words
  uint64_t tokens = 0;     // scored
  std::vector<report::SearchStep> trace;
  std::vector<Ablation> ablation;
};

// On the way of the price to the equilibrium.
struct PlanStep {
  uint64_t bytes = 0;  // of the file
  double loss = 0, price = 0;
};

// Without what there is one of a tensor, a size or a trial.
struct PlanSummary {
  double duality_gap = 0;
  artifact::ExpertOrders expert_order;   // empty: the checkpoint's
  uint64_t file_bytes = 0;
  double loss = 0;
  double lower_bound = 0;
  std::vector<PlanStep> path;
  double price = 0;
  bool proved_best = false;
  std::string summary;                   // a line for people
  uint64_t target_bytes = 0;
};

struct Plan : PlanSummary {
  static constexpr char kFile[] = "plan.json";
  static constexpr int kVersion = 1;

  std::vector<FrontierPoint> frontier;   // by size, ascending
  std::optional<SearchTrace> search;     // after SEARCH
  std::vector<PlannedTensor> tensors;    // by Prepared::tensors
  std::vector<Trial> trials;             // in the order they were measured

  std::vector<double> LossWeights() const;

  // SOLVE's. Errors: those of ReadJsonFile (core/base/json_file.h); STAGE_FILE_INVALID too unless it has a choice for every tensor.
  static absl::StatusOr<Plan> Read(const std::string& directory, const Prepared& prepared);
  absl::Status Write(const std::string& directory) const;
};

// The plan to encode: of the last round of SEARCH when there was one, else SOLVE's. Errors as Plan::Read.
absl::StatusOr<Plan> ReadPlanToEncode(const std::string& directory, const Prepared& prepared);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_FILES_PLAN_H_

// The parts of the stages that an nsq artifact has of its own. The game, its search and the report are shared.
#ifndef NASHSWARM_CORE_PIPELINE_NSQ_STAGES_H_
#define NASHSWARM_CORE_PIPELINE_NSQ_STAGES_H_

#include <vector>

#include "absl/status/statusor.h"
#include "core/artifact/nsq_artifact.h"
#include "core/nsq/quantizer.h"
#include "core/pipeline/objectives.h"
#include "core/pipeline/prepared.h"
#include "core/pipeline/stages.h"

namespace nashswarm::pipeline {

// What MEASURE and ENCODE work on.
struct NsqInputs {
  const Prepared& prepared;
  const OpenModel& open;
  const Calibrated& calibrated;
  bool tied_head;
  nsq::Settings settings;
  // The tensor as the model maps it: names and row order of calibration.
  const model::MappedTensor& source(size_t tensor) const;
};

// The tensors of an nsq artifact in its order: every one the checkpoint has. Matrices are coded, vectors are kept in 16 bits
// (32 where that would lose something).
std::vector<PreparedTensor> NsqTensors(const model::Model& model);
// An entry of the artifact's index, without bytes.
artifact::NsqTensor IndexEntry(const PreparedTensor& tensor, const model::MappedTensor& source);
// Values of a tensor that is not coded, in the checkpoint's order. Non-finite ones as they are.
std::vector<float> ReadPlain(const NsqInputs& in, size_t tensor);

absl::StatusOr<Json> MeasureNsq(const Task& task, const NsqInputs& in);
// Encodes the shard's tensors at the plan's steps, all scaled by one factor so that together they take at most the bytes the plan
// gives them, and no less than they must.
absl::StatusOr<Json> EncodeNsq(const Task& task, const NsqInputs& in, const Json& plan);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_NSQ_STAGES_H_

// nsq artifacts: matrices as streams of entropy-coded integers, at a step that the game chose; a Hugging Face directory.
#ifndef NASHSWARM_CORE_PIPELINE_KINDS_NSQ_STAGES_H_
#define NASHSWARM_CORE_PIPELINE_KINDS_NSQ_STAGES_H_

#include <vector>

#include "core/pipeline/kinds/artifact_kind.h"

namespace nashswarm::pipeline {

const ArtifactKind& Nsq();

// A matrix is coded unless a rule gives it a number format. What is not coded is kept in 16 bits (32 where that would lose
// something).
inline bool IsCoded(const PreparedTensor& tensor) { return tensor.formats.empty(); }
checkpoint::DType DTypeOf(quant::Format format);
// Values of a tensor that is not coded, in the checkpoint's order. Non-finite ones as they are.
std::vector<float> ReadPlain(const model::MappedTensor& tensor);

// A thread that encodes takes so much a weight: as float, read and decoded, and as integer, of this round and the best.
inline constexpr double kBytesPerCodedWeight = 24;
// MEASURE looks at every n-th row of a larger tensor. At a million weights the error of a mean square is 0.2 %.
uint64_t MeasuredRowStride(const PreparedTensor& tensor);
// ENCODE gives a tensor of so many weights all threads: its tiles are work for them. Smaller ones run side by side.
inline constexpr uint64_t kLargeWeights = 8u << 20;

// ArtifactKind's functions of these names.
absl::StatusOr<Curves> MeasureNsq(const Task& task, const StageInputs& in, TensorRange shard);
// At the plan's steps, all scaled by one factor so that together they take at most the bytes the plan gives them, and no less than
// they must.
absl::StatusOr<ShardIndex> EncodeNsq(const Task& task, const StageInputs& in, TensorRange shard, const Plan& plan, AtomicFile* file);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_KINDS_NSQ_STAGES_H_

// Checkpoints whose weights another method has quantized already: GPTQ, AWQ, compressed-tensors, bitsandbytes, FP8, MXFP4, ...
#ifndef NASHSWARM_CORE_CHECKPOINT_QUANTIZED_H_
#define NASHSWARM_CORE_CHECKPOINT_QUANTIZED_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/checkpoint/checkpoint.h"

namespace nashswarm::checkpoint {

// FAILED_PRECONDITION / ALREADY_QUANTIZED with the method's name, by what config.json says and what the tensors are called; or
// NSQ_AS_SOURCE for an nsq artifact of this program. A config that speaks of a method while all weights are plain numbers is not
// refused but said in `warnings`: frameworks leave such words behind.
absl::Status RefuseQuantized(const Checkpoint& checkpoint, std::vector<std::string>* warnings);

}  // namespace nashswarm::checkpoint

#endif  // NASHSWARM_CORE_CHECKPOINT_QUANTIZED_H_

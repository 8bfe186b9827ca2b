// A user's rules "PATTERN=FORMAT": which tensors they mean, and the format they give them.
#ifndef NASHSWARM_CORE_PIPELINE_RULES_H_
#define NASHSWARM_CORE_PIPELINE_RULES_H_

#include <vector>

#include "absl/status/status.h"
#include "core/model/architecture.h"
#include "core/pipeline/files/prepared.h"
#include "core/pipeline/spec.h"

namespace nashswarm::pipeline {

class ArtifactKind;

// Leaves the players that a rule names one strategy. The first rule that matches wins. A pattern matches a tensor's whole name:
// the checkpoint's, the one in a GGUF file, or that of the stack that holds an expert there. INVALID_ARGUMENT / RULE_INVALID: no
// pattern or format, a format that does not fit, or a rule that matches no tensor; it names those that are most like the pattern.
absl::Status ApplyRules(const std::vector<Rule>& rules, const model::Model& model, const ArtifactKind& kind, Prepared* prepared);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_RULES_H_

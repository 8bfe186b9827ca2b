// What a job came to: the result of PUBLISH (core/engine/README.md), which manifest.json repeats.
#ifndef NASHSWARM_CORE_PIPELINE_FILES_JOB_RESULT_H_
#define NASHSWARM_CORE_PIPELINE_FILES_JOB_RESULT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json_fields.h"

namespace nashswarm::pipeline {

// Of the artifact, on the evaluation text.
struct JobQuality {
  double mean_kl = 0, mean_kl_stderr = 0, p99_kl = 0;  // nats a token, against the checkpoint
  double perplexity = 0;
  double same_top1 = 0;
  double source_perplexity = 0;  // of the checkpoint
  uint64_t tokens = 0;           // scored
};

struct JobResult {
  double bits_per_weight = 0;
  uint64_t output_bytes = 0;     // of the weight file
  uint64_t parameters = 0;
  std::string plan_summary;
  std::optional<JobQuality> quality;
  double ratio_fp32 = 0;         // share of bytes saved against FP32
  double ratio_source = 0;       // against the checkpoint's files; negative when larger
  double relative_error = 0;     // over the matrices
  std::vector<std::string> warnings;
};

// In the order of their names, as manifest.json has them.
template <typename V, MaybeConst<JobQuality> T>
void Fields(V& v, T& quality) {
  v("mean_kl", quality.mean_kl);
  v("mean_kl_stderr", quality.mean_kl_stderr);
  v("p99_kl", quality.p99_kl);
  v("perplexity", quality.perplexity);
  v("same_top1", quality.same_top1);
  v("source_perplexity", quality.source_perplexity);
  v("tokens", quality.tokens);
}

template <typename V, MaybeConst<JobResult> T>
void Fields(V& v, T& result) {
  v("bits_per_weight", result.bits_per_weight);
  v("output_bytes", result.output_bytes);
  v("parameters", result.parameters);
  v("plan_summary", result.plan_summary);
  v("quality", result.quality);
  v("ratio_fp32", result.ratio_fp32);
  v("ratio_source", result.ratio_source);
  v("relative_error", result.relative_error);
  v("warnings", result.warnings);
}

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_FILES_JOB_RESULT_H_

// prepared.json: what PREPARE found out, for every later stage.
#ifndef NASHSWARM_CORE_PIPELINE_PREPARED_H_
#define NASHSWARM_CORE_PIPELINE_PREPARED_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/checkpoint/checkpoint.h"
#include "core/model/architecture.h"
#include "core/quant/format.h"

namespace nashswarm::pipeline {

// A checkpoint with its mapping; the mapping points into the checkpoint.
struct OpenModel {
  std::unique_ptr<checkpoint::Checkpoint> checkpoint;
  model::Model model;
};
absl::StatusOr<OpenModel> OpenAndMap(const std::string& directory);

struct PreparedTensor {
  std::string name, source;             // in GGUF, in the checkpoint
  std::string role;
  uint64_t rows = 0, row_weights = 0;
  bool vector = false;
  std::vector<quant::Format> formats;   // the strategies allowed; one alone leaves no choice. Empty: a step of nsq's
  // Of GGUF: the tensor of the file that holds it, and its place there. Experts of a layer share one, of one format, and are
  // neighbours in Prepared::tensors; others are alone in theirs.
  std::string stack;
  uint64_t place = 0, stack_size = 1;
  bool ends_stack() const { return place + 1 == stack_size; }
  bool is_coded() const { return formats.empty(); }  // as integers of a step, in nsq
  uint64_t weights() const { return rows * row_weights; }
  // What it takes of a GGUF file: every tensor of the file is aligned, which the last of a stack pays for.
  uint64_t AlignedBytes(quant::Format format) const;
};

// What a player plays: a block format, or a step of an nsq stream.
struct Choice {
  quant::Format format = quant::Format::kF32;
  double step = 0;                      // > 0: nsq
  bool is_coded() const { return step > 0; }
  std::string name() const { return is_coded() ? "nsq" : std::string(quant::InfoOf(format).name); }
  friend bool operator==(const Choice&, const Choice&) = default;
};

struct Prepared {
  std::string format;                           // of the artifact: "gguf" or "nsq"
  std::string model_name;                       // what people call the model: "SmolLM2-135M"
  std::string architecture;
  uint64_t parameters = 0;
  uint64_t source_weight_bytes = 0;
  uint64_t header_bytes = 0;                    // of the weight file but the tensors' own; of nsq: at most
  std::vector<PreparedTensor> tensors;          // in the order of the artifact
  std::vector<std::pair<size_t, size_t>> shards;  // [first, last) of tensors
  std::vector<std::string> warnings;
};

Json ToJson(const Prepared& prepared);
absl::StatusOr<Prepared> ReadPrepared(const std::string& in_dir);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_PREPARED_H_

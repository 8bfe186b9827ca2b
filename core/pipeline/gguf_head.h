// What a GGUF file of a checkpoint says before its tensors: what the model is called, its hyperparameters, its tokenizer.
#ifndef NASHSWARM_CORE_PIPELINE_GGUF_HEAD_H_
#define NASHSWARM_CORE_PIPELINE_GGUF_HEAD_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/checkpoint/gguf.h"
#include "core/model/model_card.h"
#include "core/pipeline/open_model.h"
#include "core/pipeline/spec.h"
#include "core/tokenizer/description.h"
#include "core/tokenizer/gguf_vocabulary.h"

namespace nashswarm::pipeline {

struct HeadOptions {
  std::string model_name;                 // as of model::ReadModelCard; may be empty
  bool allow_tokenizer_mismatch = false;  // llama.cpp may cut texts otherwise than the model's tokenizer
};

struct GgufHead {
  // Nothing in it differs between two runs on the same checkpoint with the same options: no times, no paths, no ids.
  // general.file_type is that of F32 (SetFileType).
  std::vector<checkpoint::GgufMetadata> metadata;
  std::vector<std::string> warnings;
  tokenizer::Description description;
  tokenizer::Vocabulary vocabulary;
};

// Errors: those of tokenizer::DescribeTokenizer and MakeVocabulary.
absl::StatusOr<GgufHead> MakeGgufHead(const OpenModel& open, const HeadOptions& options);

// general.file_type by what most weights of the matrices are stored in: llama.cpp's enumeration of file types.
void SetFileType(absl::Span<const checkpoint::GgufTensor> tensors, std::vector<checkpoint::GgufMetadata>* metadata);

// Runs the tokenizer of `gguf`, which was written with this head, and the directory's over nasty texts and over the file `text`
// (none when empty): tokenizer::CheckAgreement, whose warnings are appended.
absl::Status CheckTokenizer(const GgufHead& head, const checkpoint::GgufFile& gguf, const HeadOptions& options, const std::string& text,
                            std::vector<std::string>* warnings);

HeadOptions HeadOptionsOf(const Spec& spec);

// The model's card, for reports: artifacts of every kind have a name.
model::ModelCard CardOf(const OpenModel& open, const HeadOptions& options);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_GGUF_HEAD_H_

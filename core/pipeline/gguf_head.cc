#include "core/pipeline/gguf_head.h"

#include <algorithm>
#include <map>

#include "core/base/file.h"
#include "core/base/status.h"
#include "core/tokenizer/tokenizer_agreement.h"

namespace nashswarm::pipeline {
namespace {

using checkpoint::GgufValue;
using quant::Format;

constexpr char kFileType[] = "general.file_type";

// Enough of a text to meet what it is like.
constexpr uint64_t kMaxTextBytes = 1 << 20;

absl::StatusOr<std::string> BeginningOf(const std::string& path) {
  if (path.empty()) return std::string();
  NS_ASSIGN_OR_RETURN(const auto file, MappedFile::Open(path));
  const auto bytes = file->bytes();
  return std::string(reinterpret_cast<const char*>(bytes.data()), std::min<uint64_t>(bytes.size(), kMaxTextBytes));
}

}  // namespace

HeadOptions HeadOptionsOf(const Spec& spec) { return {spec.model_name, spec.allow_tokenizer_mismatch}; }

model::ModelCard CardOf(const OpenModel& open, const HeadOptions& options) {
  return model::ReadModelCard(open.checkpoint->directory(), options.model_name, open.checkpoint->config(), open.model.architecture,
                              open.model.parameters);
}

absl::StatusOr<GgufHead> MakeGgufHead(const OpenModel& open, const HeadOptions& options) {
  GgufHead head;
  NS_ASSIGN_OR_RETURN(const tokenizer::Directory directory,
                      tokenizer::OpenDirectory(open.checkpoint->directory(), open.checkpoint->config()));
  NS_ASSIGN_OR_RETURN(head.description, tokenizer::DescribeTokenizer(directory));
  NS_ASSIGN_OR_RETURN(head.vocabulary, tokenizer::MakeVocabulary(head.description, directory, open.model.embedding_rows,
                                                                 {.allow_mismatch = options.allow_tokenizer_mismatch}));
  head.warnings = head.vocabulary.warnings;
  head.metadata = {{"general.architecture", GgufValue::String(open.model.architecture)},
                   {"general.type", GgufValue::String("model")},
                   {"general.quantized_by", GgufValue::String("nashswarm " NASHSWARM_VERSION)},
                   {"general.quantization_version", GgufValue::U32(2)},  // of the block formats' layout
                   {kFileType, GgufValue::U32(0)}};
  model::AppendMetadata(CardOf(open, options), &head.metadata);
  head.metadata.insert(head.metadata.end(), open.model.hyperparameters.begin(), open.model.hyperparameters.end());
  tokenizer::AppendMetadata(head.vocabulary, &head.metadata);
  return head;
}

void SetFileType(absl::Span<const checkpoint::GgufTensor> tensors, std::vector<checkpoint::GgufMetadata>* metadata) {
  std::map<Format, uint64_t> weights;
  for (const checkpoint::GgufTensor& tensor : tensors) {
    if (tensor.dims.size() > 1) weights[tensor.format] += tensor.rows() * tensor.row_weights();
  }
  const auto most = std::max_element(weights.begin(), weights.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  const auto entry = std::find_if(metadata->begin(), metadata->end(), [](const auto& m) { return m.key == kFileType; });
  if (most != weights.end() && entry != metadata->end()) entry->value = GgufValue::U32(quant::InfoOf(most->first).file_type);
}

absl::Status CheckTokenizer(const GgufHead& head, const checkpoint::GgufFile& gguf, const HeadOptions& options, const std::string& text,
                            std::vector<std::string>* warnings) {
  NS_ASSIGN_OR_RETURN(const auto directory, tokenizer::MakeTokenizer(head.description));
  NS_ASSIGN_OR_RETURN(const auto written, tokenizer::OpenTokenizer(gguf));
  NS_ASSIGN_OR_RETURN(const std::string beginning, BeginningOf(text));
  return tokenizer::CheckAgreement(head.description, *directory, *written, head.vocabulary, beginning, options.allow_tokenizer_mismatch, warnings);
}

}  // namespace nashswarm::pipeline

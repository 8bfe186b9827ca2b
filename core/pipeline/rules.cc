#include "core/pipeline/rules.h"

#include <algorithm>
#include <cctype>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_join.h"
#include "core/base/status.h"
#include "core/base/tensor_pattern.h"
#include "core/pipeline/kinds/artifact_kind.h"

namespace nashswarm::pipeline {
namespace {

using quant::Format;

constexpr size_t kNamesShown = 5;

absl::Status RuleError(const Rule& rule, const std::string& problem, std::string_view hint) {
  return MakeError(absl::StatusCode::kInvalidArgument, "RULE_INVALID", absl::StrCat("rule '", rule.pattern, "': ", problem), hint);
}

Format SourceFormat(const model::MappedTensor& tensor) {
  switch (tensor.source->dtype) {
    case checkpoint::DType::kF16:
      return Format::kF16;
    case checkpoint::DType::kBF16:
      return Format::kBF16;
    default:
      return Format::kF32;  // F64 too: GGUF readers compute in F32 at most
  }
}

// The format a rule gives a matrix.
absl::StatusOr<Format> FormatOfRule(const Rule& rule, const model::MappedTensor& tensor, const ArtifactKind& kind) {
  if (rule.format == "keep") return SourceFormat(tensor);
  const auto format = quant::FormatByName(rule.format);
  if (!format) return RuleError(rule, absl::StrCat("unknown format '", rule.format, "'"), "list the formats with: nashswarm schemes");
  if (!kind.stores_blocks() && quant::InfoOf(*format).block_weights > 1) {
    return RuleError(rule, absl::StrCat("'", rule.format, "' is a block format, and ", ToAbsl(kind.name()), " has none"),
                     "use keep, F16, BF16 or F32");
  }
  if (!quant::FitsRow(*format, tensor.row_weights)) {
    return RuleError(rule, absl::StrCat("tensor '", tensor.source_name(), "' has rows of ", tensor.row_weights,
                                        " weights, which do not divide into blocks of ", ToAbsl(quant::InfoOf(*format).name)),
                     "choose a 32-wide format or keep");
  }
  return *format;
}

bool Matches(const TensorPattern& pattern, const model::MappedTensor& tensor) {
  return pattern.Matches(tensor.source_name()) || pattern.Matches(tensor.name) || pattern.Matches(model::StackOf(tensor));
}

size_t LongestCommonPart(std::string_view a, std::string_view b) {
  std::vector<size_t> ending(b.size() + 1);  // of common parts that end at this character of b
  size_t longest = 0;
  for (const char c : a) {
    for (size_t j = b.size(); j > 0; --j) {
      ending[j] = c == b[j - 1] ? ending[j - 1] + 1 : 0;
      longest = std::max(longest, ending[j]);
    }
  }
  return longest;
}

// "model.layers.#.mlp": layers and experts are alike, and one of them is enough to show.
std::string WithoutNumbers(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (std::isdigit(static_cast<unsigned char>(c)) == 0) out += c;
    else if (out.empty() || out.back() != '#') out += '#';
  }
  return out;
}

// Names like the pattern, those that have most of it in one piece first; of layers that are alike the first.
std::vector<std::string> NearNames(std::string pattern, const model::Model& model) {
  std::erase(pattern, '\\');  // "attn\\.weight" means the name without
  std::vector<std::pair<size_t, std::string>> found;
  std::set<std::string> seen;
  for (const model::MappedTensor& tensor : model.tensors) {
    for (const std::string& name : {tensor.source_name(), model::StackOf(tensor)}) {
      if (seen.insert(WithoutNumbers(name)).second) found.emplace_back(LongestCommonPart(pattern, name), name);
    }
  }
  std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<std::string> names;
  for (size_t i = 0; i < std::min(found.size(), kNamesShown); ++i) names.push_back(std::move(found[i].second));
  return names;
}

}  // namespace

absl::Status ApplyRules(const std::vector<Rule>& rules, const model::Model& model, const ArtifactKind& kind, Prepared* prepared) {
  std::vector<TensorPattern> patterns;
  for (const Rule& rule : rules) {
    absl::StatusOr<TensorPattern> pattern = TensorPattern::Compile(rule.pattern);
    if (!pattern.ok()) return RuleError(rule, std::string(pattern.status().message()), HintOf(pattern.status()));
    patterns.push_back(*std::move(pattern));
  }
  std::vector<PreparedTensor*> made(model.tensors.size());  // of each tensor of the model; null: the artifact has none
  for (PreparedTensor& tensor : prepared->tensors) made[tensor.mapped] = &tensor;
  std::vector<bool> matched(rules.size()), names_player(rules.size());
  for (size_t m = 0; m < model.tensors.size(); ++m) {
    const model::MappedTensor& tensor = model.tensors[m];
    bool ruled = false;
    for (size_t r = 0; r < rules.size(); ++r) {
      if (!Matches(patterns[r], tensor)) continue;
      matched[r] = true;
      names_player[r] = names_player[r] || tensor.is_player();
      // Vectors are stored in F32, which every reader asks for.
      if (std::exchange(ruled, true) || !tensor.is_player()) continue;
      NS_ASSIGN_OR_RETURN(const Format format, FormatOfRule(rules[r], tensor, kind));
      if (made[m] != nullptr) made[m]->formats = {format};
    }
  }
  for (size_t r = 0; r < rules.size(); ++r) {
    if (matched[r] && !names_player[r]) {
      prepared->warnings.push_back(absl::StrCat("rule '", rules[r].pattern, "' names only vectors and routers, which are stored in F32"));
    }
    if (matched[r]) continue;
    return RuleError(rules[r], "matches no tensor of this model",
                     absl::StrCat("a pattern matches the whole name; names like it: ", absl::StrJoin(NearNames(rules[r].pattern, model), ", "),
                                  "; nashswarm inspect lists all"));
  }
  return absl::OkStatus();
}

}  // namespace nashswarm::pipeline

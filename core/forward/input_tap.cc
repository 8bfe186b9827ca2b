#include "core/forward/input_tap.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/forward/blocks/attention.h"
#include "core/forward/blocks/experts.h"
#include "core/forward/blocks/mlp.h"

namespace nashswarm::forward {

std::string InputOf(std::string_view tensor, bool tied_head) {
  if (tensor == (tied_head ? "token_embd.weight" : "output.weight")) return "head_in";
  constexpr std::string_view kBlock = "blk.", kWeight = ".weight";
  if (!absl::StartsWith(ToAbsl(tensor), ToAbsl(kBlock)) || !absl::EndsWith(ToAbsl(tensor), ToAbsl(kWeight))) return {};
  const size_t dot = tensor.find('.', kBlock.size());
  if (dot == std::string_view::npos || dot + 1 > tensor.size() - kWeight.size()) return {};
  const std::string_view layer = tensor.substr(0, dot + 1);
  const std::string_view part = tensor.substr(dot + 1, tensor.size() - kWeight.size() - dot - 1);
  const size_t end = std::min(part.find('.'), part.size());
  const std::string_view expert = part.substr(end);  // ".3"
  for (const absl::Span<const LinearInput> inputs : {AttentionInputs(), MlpInputs(), ExpertsInputs()}) {
    for (const LinearInput& input : inputs) {
      if (part.substr(0, end) == input.part) return absl::StrCat(ToAbsl(layer), ToAbsl(input.input), ToAbsl(expert));
    }
  }
  return {};
}

}  // namespace nashswarm::forward

#include "core/forward/transformer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/forward/decoder.h"

namespace nashswarm::forward {
namespace {

// Linear layers by the part of their name between "blk.N." and ".weight".
constexpr std::pair<std::string_view, std::string_view> kInputs[] = {
    {"attn_q", "attn_in"},   {"attn_k", "attn_in"}, {"attn_v", "attn_in"},
    {"attn_qkv", "attn_in"}, {"ffn_gate", "ffn_in"}, {"ffn_up", "ffn_in"},
    {"attn_output", "attn_output_in"}, {"ffn_down", "ffn_down_in"},
    {"ffn_gate_shexp", "ffn_in"}, {"ffn_up_shexp", "ffn_in"}, {"ffn_down_shexp", "ffn_down_shexp_in"}};

}  // namespace

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
  for (const auto& [name, input] : kInputs) {
    if (part.substr(0, end) == name) return absl::StrCat(ToAbsl(layer), ToAbsl(input), ToAbsl(expert));
  }
  return {};
}

absl::StatusOr<std::unique_ptr<Transformer>> Transformer::Open(std::shared_ptr<const Weights> weights, Options options) {
  return Decoder::Open(std::move(weights), options);
}

absl::Status Transformer::Run(const Batch& batch, float* hidden, InputTap* tap) {
  NS_RETURN_IF_ERROR(Embed(batch, hidden));
  for (uint64_t layer = 0; layer < layers(); ++layer) {
    NS_RETURN_IF_ERROR(RunLayer(layer, batch.windows, batch.length, hidden, tap, nullptr));
  }
  return FinalNorm(batch.windows * batch.length, hidden, tap);
}

}  // namespace nashswarm::forward

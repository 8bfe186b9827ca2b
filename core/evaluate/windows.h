// How a text is cut into windows of tokens, and which predictions are scored: the three ways in use.
#ifndef NASHSWARM_CORE_EVALUATE_WINDOWS_H_
#define NASHSWARM_CORE_EVALUATE_WINDOWS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/tokenizer/tokenizer.h"

namespace nashswarm::evaluate {

enum class Protocol {
  // As llama-perplexity: windows that do not overlap, the first token replaced by BOS when the model wants one; the second
  // half of every window is scored. What is left at the end and does not fill a window is not used.
  kHalf,
  // As Hugging Face's guide "Perplexity of fixed-length models": windows begin every `stride` tokens, and each scores the
  // tokens that no earlier window has scored.
  kStrided,
  // As some published tables: lines of at least 20 characters, each cut and padded with EOS to 64 tokens, padding counted
  // (and attended to). Says more about padding than about the model; here for comparison only.
  kPadded64,
};
std::optional<Protocol> ProtocolByName(std::string_view name);  // "half", "strided", "padded64"
std::string_view NameOf(Protocol protocol);

struct Window {
  std::vector<int32_t> tokens;
  uint64_t score_from = 1;  // the predictions of tokens[score_from...] are scored
  uint64_t scored() const { return tokens.size() - score_from; }
};

struct WindowOptions {
  Protocol protocol = Protocol::kHalf;
  uint64_t context = 0;     // tokens of a window; 0: 1024, or the model's context when that is smaller
  uint64_t stride = 0;      // of kStrided; 0: half the context
  uint64_t max_tokens = 0;  // of the text; 0: all
};
inline constexpr uint64_t kDefaultContext = 1024;
inline constexpr uint64_t kPaddedTokens = 64, kPaddedCharacters = 20;

// The window's length for a model: INVALID_ARGUMENT / CONTEXT_TOO_LONG when more was asked for than the model has,
// CONTEXT_TOO_SHORT below 4.
absl::StatusOr<uint64_t> ResolveContext(uint64_t asked, uint64_t model_context);

// INVALID_ARGUMENT with TEXT_EMPTY or TEXT_TOO_SHORT (less than one window), or a reason of ResolveContext. `what` names the
// text in messages.
absl::StatusOr<std::vector<Window>> CutText(std::string_view text, std::string_view what,
                                            const tokenizer::Tokenizer& tokenizer, uint64_t model_context,
                                            const WindowOptions& options);

// kHalf's windows of tokens that are there already.
std::vector<Window> CutTokens(absl::Span<const int32_t> tokens, uint64_t context, int32_t bos);

uint64_t TokensOf(absl::Span<const Window> windows);

}  // namespace nashswarm::evaluate

#endif  // NASHSWARM_CORE_EVALUATE_WINDOWS_H_

#include "core/evaluate/windows.h"

#include <algorithm>

#include "core/base/status.h"

namespace nashswarm::evaluate {
namespace {

constexpr uint64_t kLeastContext = 4;  // half of it scores a token at least

absl::Status TooShort(std::string_view what, uint64_t tokens, uint64_t context) {
  return MakeError(absl::StatusCode::kInvalidArgument, "TEXT_TOO_SHORT",
                   absl::StrCat(ToAbsl(what), ": has ", tokens, " tokens, less than one window of ", context),
                   "give a longer text, or ask for a smaller context");
}

// The tokens of a whole text, begun as the model wants it, cut to `limit` (0: none).
std::vector<int32_t> TokensOfText(std::string_view text, const tokenizer::Tokenizer& tokenizer, uint64_t limit) {
  std::vector<int32_t> tokens = tokenizer.Encode(text);
  if (tokenizer.add_bos() && tokenizer.bos() >= 0) tokens.insert(tokens.begin(), tokenizer.bos());
  if (limit != 0 && tokens.size() > limit) tokens.resize(limit);
  return tokens;
}

std::vector<Window> CutStrided(absl::Span<const int32_t> tokens, uint64_t context, uint64_t stride) {
  std::vector<Window> windows;
  uint64_t scored_to = 0;
  for (uint64_t begin = 0; begin < tokens.size(); begin += stride) {
    const uint64_t end = std::min<uint64_t>(begin + context, tokens.size());
    Window window;
    window.tokens.assign(tokens.begin() + begin, tokens.begin() + end);
    window.score_from = std::max<uint64_t>(scored_to - begin, 1);  // nothing predicts the very first token
    if (window.scored() > 0) windows.push_back(std::move(window));
    scored_to = end;
    if (end == tokens.size()) break;
  }
  return windows;
}

uint64_t Characters(std::string_view line) {
  return std::count_if(line.begin(), line.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; });
}

std::vector<Window> CutPadded(std::string_view text, const tokenizer::Tokenizer& tokenizer, uint64_t max_tokens) {
  std::vector<Window> windows;
  while (!text.empty() && (max_tokens == 0 || (windows.size() + 1) * kPaddedTokens <= max_tokens)) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (Characters(line) < kPaddedCharacters) continue;
    Window window;
    window.tokens = TokensOfText(line, tokenizer, kPaddedTokens);
    window.tokens.resize(kPaddedTokens, tokenizer.eos());
    windows.push_back(std::move(window));
  }
  return windows;
}

}  // namespace

std::optional<Protocol> ProtocolByName(std::string_view name) {
  for (const Protocol protocol : {Protocol::kHalf, Protocol::kStrided, Protocol::kPadded64}) {
    if (NameOf(protocol) == name) return protocol;
  }
  return std::nullopt;
}

std::string_view NameOf(Protocol protocol) {
  switch (protocol) {
    case Protocol::kStrided:
      return "strided";
    case Protocol::kPadded64:
      return "padded64";
    case Protocol::kHalf:
      break;
  }
  return "half";
}

absl::StatusOr<uint64_t> ResolveContext(uint64_t asked, uint64_t model_context) {
  if (asked == 0) return std::min(kDefaultContext, model_context);
  if (asked > model_context) {
    return MakeError(absl::StatusCode::kInvalidArgument, "CONTEXT_TOO_LONG",
                     absl::StrCat("a context of ", asked, " tokens is longer than the model's ", model_context),
                     absl::StrCat("use --ctx ", model_context, " or less"));
  }
  if (asked < kLeastContext) {
    return MakeError(absl::StatusCode::kInvalidArgument, "CONTEXT_TOO_SHORT",
                     absl::StrCat("a context of ", asked, " tokens scores nothing"),
                     absl::StrCat("use --ctx ", kLeastContext, " or more"));
  }
  return asked;
}

std::vector<Window> CutTokens(absl::Span<const int32_t> tokens, uint64_t context, int32_t bos) {
  std::vector<Window> windows;
  for (uint64_t begin = 0; begin + context <= tokens.size(); begin += context) {
    Window window;
    window.tokens.assign(tokens.begin() + begin, tokens.begin() + begin + context);
    if (bos >= 0) window.tokens[0] = bos;
    window.score_from = context / 2 + 1;  // position context/2 is the first whose prediction counts
    windows.push_back(std::move(window));
  }
  return windows;
}

absl::StatusOr<std::vector<Window>> CutText(std::string_view text, std::string_view what,
                                            const tokenizer::Tokenizer& tokenizer, uint64_t model_context,
                                            const WindowOptions& options) {
  const bool padded = options.protocol == Protocol::kPadded64;
  NS_ASSIGN_OR_RETURN(const uint64_t context, ResolveContext(padded ? kPaddedTokens : options.context, model_context));
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    return MakeError(absl::StatusCode::kInvalidArgument, "TEXT_EMPTY", absl::StrCat(ToAbsl(what), ": the text is empty"),
                     "give a text file with some pages of text");
  }
  if (padded) {
    if (tokenizer.eos() < 0) {
      return MakeError(absl::StatusCode::kInvalidArgument, "NO_EOS_TOKEN",
                       "the padded64 protocol pads with EOS, and this tokenizer has none", "use --protocol half");
    }
    std::vector<Window> windows = CutPadded(text, tokenizer, options.max_tokens);
    if (windows.empty()) {
      return MakeError(absl::StatusCode::kInvalidArgument, "TEXT_TOO_SHORT",
                       absl::StrCat(ToAbsl(what), ": has no line of at least ", kPaddedCharacters, " characters"),
                       "give a text with longer lines");
    }
    return windows;
  }
  const std::vector<int32_t> tokens = TokensOfText(text, tokenizer, options.max_tokens);
  if (options.protocol == Protocol::kStrided) {
    if (tokens.size() < 2) return TooShort(what, tokens.size(), 2);
    const uint64_t stride = options.stride == 0 ? std::max<uint64_t>(context / 2, 1) : options.stride;
    if (stride > context) {
      return MakeError(absl::StatusCode::kInvalidArgument, "STRIDE_TOO_LONG",
                       absl::StrCat("a stride of ", stride, " tokens would skip some: the context is ", context),
                       "use a --stride of at most --ctx");
    }
    return CutStrided(tokens, context, stride);
  }
  std::vector<Window> windows = CutTokens(tokens, context, tokenizer.add_bos() ? tokenizer.bos() : -1);
  if (windows.empty()) return TooShort(what, tokens.size(), context);
  return windows;
}

uint64_t TokensOf(absl::Span<const Window> windows) {
  uint64_t tokens = 0;
  for (const Window& window : windows) tokens += window.tokens.size();
  return tokens;
}

}  // namespace nashswarm::evaluate

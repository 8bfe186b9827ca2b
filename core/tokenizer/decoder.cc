#include "core/tokenizer/decoder.h"

#include <algorithm>

#include "absl/strings/str_join.h"
#include "core/tokenizer/json_parts.h"
#include "core/tokenizer/text.h"

namespace nashswarm::tokenizer {
namespace {

using Tokens = std::vector<std::string>;

void BytesOfAlphabet(Tokens* tokens) {
  for (std::string& token : *tokens) {
    if (auto bytes = FromByteAlphabet(token)) token = *std::move(bytes);
  }
}

void BytesOfByteTokens(Tokens* tokens) {
  for (std::string& token : *tokens) {
    if (const int byte = ByteOfToken(token); byte >= 0) token.assign(1, static_cast<char>(byte));
  }
}

void Fuse(Tokens* tokens) { *tokens = {absl::StrJoin(*tokens, "")}; }

// Takes up to `start` and `stop` times `content` from the two ends of every token.
void Strip(const std::string& content, int64_t start, int64_t stop, Tokens* tokens) {
  for (std::string& token : *tokens) {
    std::string_view rest = token;
    for (int64_t i = 0; i < start && rest.substr(0, content.size()) == content; ++i) rest.remove_prefix(content.size());
    const auto ends = [&] { return rest.size() >= content.size() && rest.substr(rest.size() - content.size()) == content; };
    for (int64_t i = 0; i < stop && ends(); ++i) rest.remove_suffix(content.size());
    token = std::string(rest);
  }
}

}  // namespace

absl::StatusOr<Decoder> Decoder::Parse(const Json& json, const std::string& what) {
  Decoder out;
  NS_RETURN_IF_ERROR(out.Append(json, what));
  return out;
}

Decoder Decoder::ByteLevel() {
  Decoder out;
  out.steps_.push_back(BytesOfAlphabet);
  return out;
}

Decoder Decoder::SentencePiece(bool strip_first) {
  Decoder out;
  out.steps_.push_back([](Tokens* tokens) {
    for (std::string& token : *tokens) token = ReplaceEvery(token, kSpaceMark, " ");
  });
  out.steps_.push_back(BytesOfByteTokens);
  out.steps_.push_back(Fuse);
  if (strip_first) out.steps_.push_back([](Tokens* tokens) { Strip(" ", 1, 0, tokens); });
  return out;
}

absl::Status Decoder::Append(const Json& json, const std::string& what) {
  if (json.is_null()) return absl::OkStatus();
  const std::string type = JsonString(json, "type");
  if (type == "Sequence") {
    for (const Json& part : Field(json, "decoders")) NS_RETURN_IF_ERROR(Append(part, what));
  } else if (type == "ByteLevel") {
    steps_.push_back(BytesOfAlphabet);
  } else if (type == "ByteFallback") {
    steps_.push_back(BytesOfByteTokens);
  } else if (type == "Fuse") {
    steps_.push_back(Fuse);
  } else if (type == "Replace") {
    const std::string from = JsonString(Field(json, "pattern"), "String"), to = JsonString(json, "content");
    if (from.empty()) return Unknown(what, "a Replace of something else than a string is not supported", "");
    steps_.push_back([from, to](Tokens* tokens) {
      for (std::string& token : *tokens) token = ReplaceEvery(token, from, to);
    });
  } else if (type == "Strip") {
    const std::string content = JsonString(json, "content");
    const int64_t start = JsonInt(json, "start", 0), stop = JsonInt(json, "stop", 0);
    if (content.empty()) return Invalid(what, "a Strip has no content");
    steps_.push_back([content, start, stop](Tokens* tokens) { Strip(content, start, stop, tokens); });
  } else if (type == "Metaspace") {
    const std::string mark = JsonString(json, "replacement", kSpaceMark);
    if (mark.empty()) return Invalid(what, "a Metaspace has no replacement");
    const bool prefixed = JsonString(json, "prepend_scheme", JsonBool(json, "add_prefix_space", true) ? "always" : "never") != "never";
    steps_.push_back([mark, prefixed](Tokens* tokens) {
      for (size_t i = 0; i < tokens->size(); ++i) {
        std::string& token = (*tokens)[i];
        if (i == 0 && prefixed && token.compare(0, mark.size(), mark) == 0) token.erase(0, mark.size());
        token = ReplaceEvery(token, mark, " ");
      }
    });
  } else {
    return Unknown(what, absl::StrCat("type '", type.substr(0, 100), "' is not supported"),
                   "supported: Sequence, ByteLevel, ByteFallback, Replace, Fuse, Strip, Metaspace");
  }
  return absl::OkStatus();
}

std::string Decoder::Decode(std::vector<std::string> tokens) const {
  for (const Step& step : steps_) step(&tokens);
  return absl::StrJoin(tokens, "");
}

}  // namespace nashswarm::tokenizer

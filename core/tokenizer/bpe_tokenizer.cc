#include "core/tokenizer/bpe_tokenizer.h"

#include <algorithm>

namespace nashswarm::tokenizer {
namespace {

std::vector<AddedToken> RawTokens(const std::vector<AddedToken>& added) {
  std::vector<AddedToken> out;
  std::copy_if(added.begin(), added.end(), std::back_inserter(out), [](const AddedToken& token) { return !token.normalized; });
  return out;
}

std::vector<AddedToken> NormalizedTokens(const std::vector<AddedToken>& added, const Normalizer& normalizer) {
  std::vector<AddedToken> out;
  for (AddedToken token : added) {
    if (!token.normalized) continue;
    TextArena arena;
    token.content = std::string(normalizer.Apply(token.content, &arena));
    out.push_back(std::move(token));
  }
  return out;
}

}  // namespace

BpeTokenizer::BpeTokenizer(BpeParts parts)
    : parts_(std::move(parts)), raw_(RawTokens(parts_.added)), normalized_(NormalizedTokens(parts_.added, parts_.normalizer)) {
  for (const AddedToken& token : parts_.added) {
    if (token.special) special_.insert(token.id);
  }
  for (const auto& [id, text] : parts_.texts) size_ = std::max<uint64_t>(size_, static_cast<uint64_t>(id) + 1);
}

std::vector<int32_t> BpeTokenizer::Encode(std::string_view text) const {
  TextArena arena;
  Bpe::Cache cache;
  if (ValidUtf8Prefix(text) != text.size()) text = arena.Keep(ReplaceInvalidUtf8(text));
  std::vector<TextPart> parts;
  raw_.Split(text, &parts);
  std::vector<int32_t> out;
  for (const TextPart& part : parts) {
    if (part.id >= 0) out.push_back(part.id);
    else EncodeStretch(part.text, part.text.data() == text.data(), &cache, &arena, &out);
  }
  return out;
}

void BpeTokenizer::EncodeStretch(std::string_view text, bool first, Bpe::Cache* cache, TextArena* arena,
                                 std::vector<int32_t>* out) const {
  text = parts_.normalizer.Apply(text, arena);
  std::vector<TextPart> parts;
  normalized_.Split(text, &parts);
  std::vector<Piece> pieces;
  for (const TextPart& part : parts) {
    if (part.id >= 0) {
      out->push_back(part.id);
      continue;
    }
    pieces.clear();
    parts_.pre_tokenizer.Split(part.text, first && part.text.data() == text.data(), arena, &pieces);
    for (const Piece& piece : pieces) parts_.bpe.Encode(piece.text, cache, out);
  }
}

std::string BpeTokenizer::Decode(absl::Span<const int32_t> tokens) const {
  std::vector<std::string> texts;
  texts.reserve(tokens.size());
  for (const int32_t id : tokens) {
    const auto it = parts_.texts.find(id);
    if (it != parts_.texts.end() && !special_.contains(id)) texts.push_back(it->second);
  }
  return parts_.decoder.Decode(std::move(texts));
}

}  // namespace nashswarm::tokenizer

#include "core/tokenizer/added_tokens.h"

#include <algorithm>

#include "core/tokenizer/text.h"

namespace nashswarm::tokenizer {
namespace {

bool IsAlone(std::string_view before, std::string_view after) {
  size_t position = 0;
  return (before.empty() || !IsWordCharacter(LastChar(before))) &&
         (after.empty() || !IsWordCharacter(NextChar(after, &position)));
}

size_t SpacesAtEnd(std::string_view text) {
  const size_t size = text.size();
  while (!text.empty() && IsWhiteSpace(LastChar(text))) text.remove_suffix(LastCharLength(text));
  return size - text.size();
}

size_t SpacesAtBegin(std::string_view text) {
  size_t position = 0;
  while (position < text.size()) {
    size_t next = position;
    if (!IsWhiteSpace(NextChar(text, &next))) break;
    position = next;
  }
  return position;
}

}  // namespace

void AddedTokens::Add(AddedToken token) {
  ids_.emplace(token.content, token.id);
  used_.insert(token.id);
  list_.push_back(std::move(token));
}

int32_t AddedTokens::Find(const std::string& text) const {
  const auto it = ids_.find(text);
  return it == ids_.end() ? -1 : it->second;
}

uint32_t WordSet::Child(uint32_t node, char c) const {
  const auto it = children_.find(static_cast<uint64_t>(node) << 8 | static_cast<uint8_t>(c));
  return it == children_.end() ? 0 : it->second;
}

void WordSet::Add(std::string_view word, int32_t value) {
  if (word.empty()) return;
  begins_[static_cast<uint8_t>(word[0])] = true;
  uint32_t node = 0;
  for (const char c : word) {
    const auto [it, fresh] = children_.emplace(static_cast<uint64_t>(node) << 8 | static_cast<uint8_t>(c), nodes_);
    if (fresh) ++nodes_;
    node = it->second;
  }
  values_.emplace(node, value);
}

WordSet::Hit WordSet::Longest(std::string_view text) const {
  Hit hit;
  uint32_t node = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    node = Child(node, text[i]);
    if (node == 0) break;
    if (const auto it = values_.find(node); it != values_.end()) hit = {i + 1, it->second};
  }
  return hit;
}

std::vector<int32_t> WordSet::AllIn(std::string_view text) const {
  absl::flat_hash_set<int32_t> found;
  for (size_t at = 0; at < text.size(); ++at) {
    if (!MayBegin(text[at])) continue;
    uint32_t node = 0;
    for (size_t i = at; i < text.size(); ++i) {
      node = Child(node, text[i]);
      if (node == 0) break;
      if (const auto it = values_.find(node); it != values_.end()) found.insert(it->second);
    }
  }
  return {found.begin(), found.end()};
}

AddedTokenSplitter::AddedTokenSplitter(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  for (size_t i = 0; i < tokens_.size(); ++i) words_.Add(tokens_[i].content, static_cast<int32_t>(i));
}

void AddedTokenSplitter::Split(std::string_view text, std::vector<TextPart>* out) const {
  size_t done = 0;
  for (size_t at = 0; at < text.size();) {
    const WordSet::Hit hit = words_.MayBegin(text[at]) ? words_.Longest(text.substr(at)) : WordSet::Hit();
    if (hit.value < 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[hit.value];
    size_t begin = at, end = at + hit.length;
    at = end;
    if (token.single_word && !IsAlone(text.substr(0, begin), text.substr(end))) continue;
    if (token.lstrip) begin -= SpacesAtEnd(text.substr(0, begin));
    if (token.rstrip) end += SpacesAtBegin(text.substr(end));
    begin = std::max(begin, done);  // the token before may have taken these spaces
    end = std::max(end, begin);
    if (done < begin) out->push_back({text.substr(done, begin - done), -1});
    out->push_back({text.substr(begin, end - begin), token.id});
    done = end;
  }
  if (done < text.size()) out->push_back({text.substr(done), -1});
}

}  // namespace nashswarm::tokenizer

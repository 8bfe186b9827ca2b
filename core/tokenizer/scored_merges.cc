#include "core/tokenizer/scored_merges.h"

#include <algorithm>
#include <limits>

#include "core/base/status.h"
#include "core/tokenizer/text.h"

namespace nashswarm::tokenizer {
namespace {

constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();

struct Symbol {
  std::string_view text;  // empty: joined to the one before
  uint32_t previous, next;
};

struct Candidate {
  float score;
  uint32_t left, right;
  size_t bytes;  // of both when this was entered

  bool operator<(const Candidate& other) const {
    return score != other.score ? score < other.score : left > other.left;
  }
};

std::vector<Symbol> SymbolsOf(std::string_view text) {
  std::vector<Symbol> symbols;
  for (size_t i = 0; i < text.size();) {
    const size_t length = std::min(CharLength(text[i]), text.size() - i);
    const auto index = static_cast<uint32_t>(symbols.size());
    symbols.push_back({text.substr(i, length), index == 0 ? kNone : index - 1, index + 1});
    i += length;
  }
  if (!symbols.empty()) symbols.back().next = kNone;
  return symbols;
}

}  // namespace

ScoredMerges::ScoredMerges(absl::flat_hash_map<std::string, Piece> pieces, int32_t unknown) : pieces_(std::move(pieces)) {
  for (const auto& [text, piece] : pieces_) joints_.Add(text);
  for (int byte = 0; byte < 256; ++byte) {
    auto it = pieces_.find(TokenOfByte(static_cast<uint8_t>(byte)));
    const char c = static_cast<char>(byte);
    if (it == pieces_.end()) it = pieces_.find(absl::string_view(&c, 1));
    bytes_[byte] = it == pieces_.end() ? unknown : it->second.id;
  }
}

void ScoredMerges::Encode(std::string_view text, std::vector<int32_t>* out) const {
  if (text.empty()) return;
  size_t begin = 0, position = 0;
  for (uint32_t before = NextChar(text, &position); position < text.size();) {
    const size_t border = position;
    const uint32_t after = NextChar(text, &position);
    if (!joints_.MayJoin(before, after)) {
      EncodeWord(text.substr(begin, border - begin), out);
      begin = border;
    }
    before = after;
  }
  EncodeWord(text.substr(begin), out);
}

void ScoredMerges::EncodeWord(std::string_view word, std::vector<int32_t>* out) const {
  std::vector<Symbol> symbols = SymbolsOf(word);
  std::vector<Candidate> heap;
  const auto enter = [&](uint32_t left, uint32_t right) {
    if (left == kNone || right == kNone) return false;
    // Neighbours are next to each other in the text too.
    const std::string_view joined(symbols[left].text.data(), symbols[left].text.size() + symbols[right].text.size());
    const auto it = pieces_.find(ToAbsl(joined));
    if (it == pieces_.end()) return false;
    heap.push_back({it->second.score, left, right, joined.size()});
    return true;
  };
  for (uint32_t i = 0; i + 1 < symbols.size(); ++i) enter(i, i + 1);
  std::make_heap(heap.begin(), heap.end());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end());
    const Candidate top = heap.back();
    heap.pop_back();
    Symbol& left = symbols[top.left];
    Symbol& right = symbols[top.right];
    if (left.text.empty() || right.text.empty() || left.text.size() + right.text.size() != top.bytes) continue;
    left.text = std::string_view(left.text.data(), top.bytes);
    right.text = {};
    left.next = right.next;
    if (right.next != kNone) symbols[right.next].previous = top.left;
    if (enter(left.previous, top.left)) std::push_heap(heap.begin(), heap.end());
    if (enter(top.left, left.next)) std::push_heap(heap.begin(), heap.end());
  }
  for (uint32_t i = symbols.empty() ? kNone : 0; i != kNone; i = symbols[i].next) {
    if (const auto it = pieces_.find(ToAbsl(symbols[i].text)); it != pieces_.end()) {
      out->push_back(it->second.id);
      continue;
    }
    for (const char c : symbols[i].text) {
      if (const int32_t id = bytes_[static_cast<uint8_t>(c)]; id >= 0) out->push_back(id);
    }
  }
}

}  // namespace nashswarm::tokenizer

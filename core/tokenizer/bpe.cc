#include "core/tokenizer/bpe.h"

#include <algorithm>
#include <limits>

#include "core/tokenizer/json_parts.h"
#include "core/tokenizer/text.h"

namespace nashswarm::tokenizer {
namespace {

constexpr size_t kMaxCachedPiece = 64;        // longer pieces hardly come twice
constexpr size_t kMaxCachedPieces = 1u << 18;  // bounds memory over texts of any length
constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();

uint64_t PairKey(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

// A merge that was possible when it was entered. Ordered so that the lowest rank, then the leftmost, is on top of a heap.
struct Candidate {
  uint32_t rank;
  uint32_t position;
  int32_t id;

  bool operator<(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : position > other.position;
  }
};

}  // namespace

// The symbols of a piece as a linked list in an array; merging joins a symbol with the next.
class Bpe::Word {
 public:
  void Add(int32_t id) { symbols_.push_back({id, static_cast<uint32_t>(symbols_.size()) - 1, static_cast<uint32_t>(symbols_.size()) + 1}); }

  void MergeAll(const absl::flat_hash_map<uint64_t, Target>& merges) {
    if (symbols_.empty()) return;
    symbols_.back().next = kNone;
    for (uint32_t i = 0; i + 1 < symbols_.size(); ++i) Enter(merges, i);
    std::make_heap(heap_.begin(), heap_.end());
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end());
      const Candidate top = heap_.back();
      heap_.pop_back();
      if (!IsStillThere(merges, top)) continue;
      Join(top);
      const uint32_t previous = symbols_[top.position].previous;
      if (previous != kNone && Enter(merges, previous)) std::push_heap(heap_.begin(), heap_.end());
      if (symbols_[top.position].next != kNone && Enter(merges, top.position)) std::push_heap(heap_.begin(), heap_.end());
    }
  }

  void AppendTo(std::vector<int32_t>* out) const {
    for (uint32_t i = symbols_.empty() ? kNone : 0; i != kNone; i = symbols_[i].next) out->push_back(symbols_[i].id);
  }

 private:
  struct Symbol {
    int32_t id;  // -1: joined to the one before
    uint32_t previous, next;
  };

  bool Enter(const absl::flat_hash_map<uint64_t, Target>& merges, uint32_t position) {
    const Symbol& left = symbols_[position];
    const auto it = merges.find(PairKey(left.id, symbols_[left.next].id));
    if (it == merges.end()) return false;
    heap_.push_back({it->second.rank, position, it->second.id});
    return true;
  }

  // A symbol may have changed since; the merge counts if what is there now makes the same token.
  bool IsStillThere(const absl::flat_hash_map<uint64_t, Target>& merges, const Candidate& candidate) const {
    const Symbol& left = symbols_[candidate.position];
    if (left.id < 0 || left.next == kNone) return false;
    const auto it = merges.find(PairKey(left.id, symbols_[left.next].id));
    return it != merges.end() && it->second.id == candidate.id;
  }

  void Join(const Candidate& candidate) {
    Symbol& left = symbols_[candidate.position];
    Symbol& right = symbols_[left.next];
    left.id = candidate.id;
    left.next = right.next;
    if (right.next != kNone) symbols_[right.next].previous = candidate.position;
    right.id = -1;
  }

  std::vector<Symbol> symbols_;
  std::vector<Candidate> heap_;
};

absl::StatusOr<Bpe> Bpe::Create(const Vocabulary& vocabulary, absl::Span<const Merge> merges, const Options& options,
                                std::string_view what) {
  Bpe out;
  out.options_ = options;
  out.merges_.reserve(merges.size());
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    const auto l = vocabulary.find(left), r = vocabulary.find(right), joined = vocabulary.find(left + right);
    if (l == vocabulary.end() || r == vocabulary.end() || joined == vocabulary.end()) {
      const std::string& missing = l == vocabulary.end() ? left : r == vocabulary.end() ? right : left + right;
      return Invalid(what, absl::StrCat("merge ", rank, " ('", left, "' with '", right, "') needs the token '",
                                        missing.substr(0, 200), "', which the vocabulary does not have"));
    }
    if (!options.byte_level) out.joints_.Add(joined->first);
    out.merges_.insert_or_assign(PairKey(l->second, r->second), Target{static_cast<uint32_t>(rank), joined->second});
  }
  out.byte_tokens_.fill(-1);
  for (int byte = 0; byte < 256 && options.byte_fallback; ++byte) {
    const auto it = vocabulary.find(TokenOfByte(static_cast<uint8_t>(byte)));
    if (it != vocabulary.end()) out.byte_tokens_[byte] = it->second;
  }
  out.ids_.reserve(vocabulary.size());
  for (const auto& [text, id] : vocabulary) {
    if (!options.byte_level) {
      out.ids_.emplace(text, id);
      size_t position = 0;
      if (!text.empty() && CharLength(text[0]) == text.size()) out.characters_.insert(NextChar(text, &position));
    } else if (const auto bytes = FromByteAlphabet(text)) {
      out.ids_.emplace(*bytes, id);
    }
  }
  for (int i = 0; i < (options.byte_level ? 256 : 128); ++i) {
    const char c = static_cast<char>(i);
    const std::string_view symbol(&c, 1);
    out.spellings_[i] = out.SpellingOf(symbol, options.byte_level ? std::string_view(ByteAlphabet()[i]) : symbol);
  }
  return out;
}

// `symbol` as in ids_, `text` as in the vocabulary.
Bpe::Spelling Bpe::SpellingOf(std::string_view symbol, std::string_view text) const {
  if (const auto it = ids_.find(ToAbsl(symbol)); it != ids_.end()) return {{it->second}, false};
  Spelling out{{}, true};
  for (const char c : text) {
    const int32_t id = byte_tokens_[static_cast<uint8_t>(c)];
    if (id < 0) return {};
    out.ids.push_back(id);
  }
  return out;
}

void Bpe::Spell(std::string_view piece, Word* word) const {
  bool unknown_pending = false;
  for (size_t i = 0; i < piece.size();) {
    const size_t length = options_.byte_level ? 1 : std::min(CharLength(piece[i]), piece.size() - i);
    const std::string_view symbol = piece.substr(i, length);
    i += length;
    Spelling looked_up;
    if (length > 1) looked_up = SpellingOf(symbol, symbol);
    const Spelling& spelling = length > 1 ? looked_up : spellings_[static_cast<uint8_t>(symbol[0])];
    if (spelling.ids.empty()) {
      if (options_.unknown < 0) continue;
      if (unknown_pending && !options_.fuse_unknown) word->Add(options_.unknown);
      unknown_pending = true;
      continue;
    }
    // As the Hugging Face library has it, a waiting unknown token is overtaken by characters spelt with byte tokens.
    if (unknown_pending && !spelling.by_bytes) {
      word->Add(options_.unknown);
      unknown_pending = false;
    }
    for (const int32_t id : spelling.ids) word->Add(id);
  }
  if (unknown_pending) word->Add(options_.unknown);
}

void Bpe::EncodeUncached(std::string_view piece, std::vector<int32_t>* out) const {
  Word word;
  Spell(piece, &word);
  word.MergeAll(merges_);
  word.AppendTo(out);
}

void Bpe::Encode(std::string_view piece, Cache* cache, std::vector<int32_t>* out) const {
  if (options_.ignore_merges) {
    if (const auto it = ids_.find(ToAbsl(piece)); it != ids_.end()) return out->push_back(it->second);
  }
  if (options_.byte_level || piece.size() <= kMaxCachedPiece) return EncodeWord(piece, cache, out);
  // Characters that are no tokens stay with their neighbours: they may be fused.
  size_t begin = 0, position = 0;
  uint32_t before = NextChar(piece, &position);
  bool before_known = characters_.contains(before);
  while (position < piece.size()) {
    const size_t border = position;
    const uint32_t after = NextChar(piece, &position);
    const bool after_known = characters_.contains(after);
    if (before_known && after_known && !joints_.MayJoin(before, after)) {
      EncodeWord(piece.substr(begin, border - begin), cache, out);
      begin = border;
    }
    before = after;
    before_known = after_known;
  }
  EncodeWord(piece.substr(begin), cache, out);
}

void Bpe::EncodeWord(std::string_view word, Cache* cache, std::vector<int32_t>* out) const {
  if (word.size() > kMaxCachedPiece) return EncodeUncached(word, out);
  if (const auto it = cache->found.find(word); it != cache->found.end()) {
    const auto first = cache->ids.begin() + it->second.first;
    out->insert(out->end(), first, first + it->second.second);
    return;
  }
  const size_t before = out->size();
  EncodeUncached(word, out);
  if (cache->found.size() >= kMaxCachedPieces) return;
  cache->found.emplace(word, std::make_pair(static_cast<uint32_t>(cache->ids.size()), static_cast<uint32_t>(out->size() - before)));
  cache->ids.insert(cache->ids.end(), out->begin() + static_cast<ptrdiff_t>(before), out->end());
}

}  // namespace nashswarm::tokenizer

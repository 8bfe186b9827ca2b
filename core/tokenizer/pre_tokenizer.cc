#include "core/tokenizer/pre_tokenizer.h"

#include <algorithm>
#include <optional>

#include "core/tokenizer/json_parts.h"
#include "core/tokenizer/regex.h"

namespace nashswarm::tokenizer {
namespace {

// What becomes of a match, by its name in tokenizer.json.
enum class Behavior { kIsolated, kRemoved, kMergedWithPrevious, kMergedWithNext, kContiguous };

std::optional<Behavior> BehaviorOf(std::string_view name) {
  if (name == "Isolated") return Behavior::kIsolated;
  if (name == "Removed") return Behavior::kRemoved;
  if (name == "MergedWithPrevious") return Behavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return Behavior::kMergedWithNext;
  if (name == "Contiguous") return Behavior::kContiguous;
  return std::nullopt;
}

// A stretch of a text: a match, or what lies between matches.
struct Stretch {
  size_t begin, end;
  bool match;
};

class SplitStage : public PreTokenizer::Stage {
 public:
  // A regular expression, or (none) every occurrence of `literal`, which is not empty.
  SplitStage(std::optional<Regex> regex, std::string literal, Behavior behavior, bool invert)
      : regex_(std::move(regex)), literal_(std::move(literal)), behavior_(behavior), invert_(invert) {}

  void Apply(absl::Span<const Piece> in, TextArena*, std::vector<Piece>* out) const override {
    std::vector<Range> matches;
    std::vector<Stretch> stretches;
    for (const Piece& piece : in) {
      matches.clear();
      stretches.clear();
      Find(piece.text, &matches);
      Cover(piece.text.size(), matches, &stretches);
      Join(&stretches);
      for (const Stretch& s : stretches) {
        if (behavior_ == Behavior::kRemoved && s.match) continue;
        out->push_back({piece.text.substr(s.begin, s.end - s.begin), piece.first && s.begin == 0});
      }
    }
  }

 private:
  void Find(std::string_view text, std::vector<Range>* matches) const {
    if (regex_.has_value()) return regex_->FindAll(text, matches);
    for (size_t at = text.find(literal_); at != std::string_view::npos; at = text.find(literal_, at + literal_.size())) {
      matches->push_back({at, at + literal_.size()});
    }
  }

  void Cover(size_t size, const std::vector<Range>& matches, std::vector<Stretch>* out) const {
    size_t end = 0;
    for (const Range& match : matches) {
      if (end < match.begin) out->push_back({end, match.begin, invert_});
      out->push_back({match.begin, match.end, !invert_});
      end = match.end;
    }
    if (end < size) out->push_back({end, size, invert_});
  }

  // A match joins its neighbour unless that is a match itself.
  void Join(std::vector<Stretch>* stretches) const {
    if (behavior_ == Behavior::kIsolated || behavior_ == Behavior::kRemoved) return;
    std::vector<Stretch> joined;
    const bool backwards = behavior_ == Behavior::kMergedWithNext;
    if (backwards) std::reverse(stretches->begin(), stretches->end());
    bool previous = false;
    for (const Stretch& s : *stretches) {
      const bool join = behavior_ == Behavior::kContiguous ? s.match == previous : s.match && !previous;
      if (join && !joined.empty()) {
        (backwards ? joined.back().begin : joined.back().end) = backwards ? s.begin : s.end;
      } else {
        joined.push_back(s);
      }
      previous = s.match;
    }
    if (backwards) std::reverse(joined.begin(), joined.end());
    *stretches = std::move(joined);
  }

  std::optional<Regex> regex_;
  std::string literal_;
  Behavior behavior_;
  bool invert_;
};

// Puts a space before every piece that does not begin with one.
class PrefixSpaceStage : public PreTokenizer::Stage {
 public:
  void Apply(absl::Span<const Piece> in, TextArena* arena, std::vector<Piece>* out) const override {
    for (const Piece& piece : in) {
      const bool has = piece.text.front() == ' ';
      out->push_back({has ? piece.text : arena->Keep(absl::StrCat(" ", ToAbsl(piece.text))), piece.first});
    }
  }
};

class ByteMapStage : public PreTokenizer::Stage {
 public:
  void Apply(absl::Span<const Piece> in, TextArena* arena, std::vector<Piece>* out) const override {
    for (const Piece& piece : in) out->push_back({arena->Keep(ToByteAlphabet(piece.text)), piece.first});
  }
};

class MetaspaceStage : public PreTokenizer::Stage {
 public:
  enum class Prepend { kNever, kFirst, kAlways };
  MetaspaceStage(std::string mark, Prepend prepend) : mark_(std::move(mark)), prepend_(prepend) {}

  void Apply(absl::Span<const Piece> in, TextArena* arena, std::vector<Piece>* out) const override {
    for (const Piece& piece : in) {
      std::string text = ReplaceEvery(piece.text, " ", mark_);
      const bool wanted = prepend_ == Prepend::kAlways || (prepend_ == Prepend::kFirst && piece.first);
      if (wanted && text.compare(0, mark_.size(), mark_) != 0) text.insert(0, mark_);
      out->push_back({arena->Keep(std::move(text)), piece.first});
    }
  }

 private:
  std::string mark_;
  Prepend prepend_;
};

}  // namespace

absl::StatusOr<PreTokenizer> PreTokenizer::Parse(const Json& json, const std::string& what) {
  PreTokenizer out;
  NS_RETURN_IF_ERROR(out.Append(json, what));
  out.Finish();
  return out;
}

absl::StatusOr<PreTokenizer> PreTokenizer::ByteLevelOf(absl::Span<const std::string_view> patterns, const std::string& what) {
  PreTokenizer out;
  for (const std::string_view pattern : patterns) NS_RETURN_IF_ERROR(out.AppendPattern(pattern, "Isolated", what));
  out.byte_level_ = true;
  return out;
}

absl::Status PreTokenizer::AppendPattern(std::string_view pattern, const std::string& behavior, const std::string& what) {
  const auto known = BehaviorOf(behavior);
  if (!known.has_value()) return Invalid(what, absl::StrCat("behavior '", behavior.substr(0, 100), "' does not exist"));
  NS_ASSIGN_OR_RETURN(Regex regex, Regex::Compile(pattern, what));
  stages_.push_back(std::make_shared<SplitStage>(std::move(regex), "", *known, /*invert=*/false));
  return absl::OkStatus();
}

absl::Status PreTokenizer::AppendSplit(const Json& json, const std::string& what) {
  const std::string name = JsonString(json, "behavior", "Isolated");
  const auto behavior = BehaviorOf(name);
  if (!behavior.has_value()) return Invalid(what, absl::StrCat("behavior '", name.substr(0, 100), "' does not exist"));
  const bool invert = JsonBool(json, "invert", false);
  const Json& pattern = Field(json, "pattern");
  if (const std::string literal = JsonString(pattern, "String"); !literal.empty()) {
    stages_.push_back(std::make_shared<SplitStage>(std::nullopt, literal, *behavior, invert));
    return absl::OkStatus();
  }
  const std::string expression = JsonString(pattern, "Regex");
  if (expression.empty()) return Invalid(what, "a Split has no pattern");
  NS_ASSIGN_OR_RETURN(Regex regex, Regex::Compile(expression, what));
  stages_.push_back(std::make_shared<SplitStage>(std::move(regex), "", *behavior, invert));
  return absl::OkStatus();
}

absl::Status PreTokenizer::Append(const Json& json, const std::string& what) {
  if (json.is_null()) return absl::OkStatus();
  const std::string type = JsonString(json, "type");
  if (type == "Sequence") {
    for (const Json& part : Field(json, "pretokenizers")) NS_RETURN_IF_ERROR(Append(part, what));
    return absl::OkStatus();
  }
  if (type == "ByteLevel") {
    if (JsonBool(json, "add_prefix_space", false)) stages_.push_back(std::make_shared<PrefixSpaceStage>());
    if (JsonBool(json, "use_regex", true)) NS_RETURN_IF_ERROR(AppendPattern(kGpt2Pattern, "Isolated", what));
    stages_.push_back(std::make_shared<ByteMapStage>());
    return absl::OkStatus();
  }
  if (type == "Split") return AppendSplit(json, what);
  if (type == "Digits") {
    return AppendPattern("\\p{N}", JsonBool(json, "individual_digits", false) ? "Isolated" : "Contiguous", what);
  }
  if (type == "Punctuation") {
    return AppendPattern(R"([!-/:-@\[-`{-~\p{P}])", JsonString(json, "behavior", "Isolated"), what);
  }
  if (type == "WhitespaceSplit") return AppendPattern("\\s", "Removed", what);
  if (type == "Whitespace") {
    // Word characters as UTS #18, annex C, has them, which is not what \w is to Oniguruma.
    constexpr char kWords[] =
        R"([\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200c}\x{200d}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200c}\x{200d}\s]+)";
    NS_ASSIGN_OR_RETURN(Regex regex, Regex::Compile(kWords, what));
    stages_.push_back(std::make_shared<SplitStage>(std::move(regex), "", Behavior::kRemoved, /*invert=*/true));
    return absl::OkStatus();
  }
  if (type == "Metaspace") {
    const std::string mark = JsonString(json, "replacement", kSpaceMark);
    if (mark.empty()) return Invalid(what, "a Metaspace has no replacement");
    const std::string scheme =
        JsonString(json, "prepend_scheme", JsonBool(json, "add_prefix_space", true) ? "always" : "never");
    using Prepend = MetaspaceStage::Prepend;
    stages_.push_back(std::make_shared<MetaspaceStage>(
        mark, scheme == "always" ? Prepend::kAlways : scheme == "first" ? Prepend::kFirst : Prepend::kNever));
    if (!JsonBool(json, "split", true)) return absl::OkStatus();
    stages_.push_back(std::make_shared<SplitStage>(std::nullopt, mark, Behavior::kMergedWithNext, /*invert=*/false));
    return absl::OkStatus();
  }
  return Unknown(what, absl::StrCat("type '", type.substr(0, 100), "' is not supported"),
                 "supported: Sequence, ByteLevel, Split, Digits, Metaspace, Whitespace, WhitespaceSplit, Punctuation");
}

// Spelling a text in the alphabet of bytes is left to the model where nothing else would see it: it can as well look up
// bytes.
void PreTokenizer::Finish() {
  if (stages_.empty() || dynamic_cast<const ByteMapStage*>(stages_.back().get()) == nullptr) return;
  byte_level_ = std::none_of(stages_.begin(), stages_.end() - 1, [](const std::shared_ptr<const Stage>& stage) {
    return dynamic_cast<const ByteMapStage*>(stage.get()) != nullptr;
  });
  if (byte_level_) stages_.pop_back();
}

void PreTokenizer::Split(std::string_view text, bool first, TextArena* arena, std::vector<Piece>* out) const {
  if (text.empty()) return;
  std::vector<Piece> pieces = {{text, first}}, next;
  for (const auto& stage : stages_) {
    next.clear();
    stage->Apply(pieces, arena, &next);
    pieces.swap(next);
  }
  out->insert(out->end(), pieces.begin(), pieces.end());
}

}  // namespace nashswarm::tokenizer

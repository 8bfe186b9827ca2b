#include "core/tokenizer/gguf_vocabulary.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "core/base/some_of.h"
#include "core/base/status.h"
#include "core/tokenizer/json_parts.h"
#include "core/tokenizer/llama_pre_tokenizers.h"
#include "core/tokenizer/text.h"

namespace nashswarm::tokenizer {
namespace {

using Kind = Description::Kind;

constexpr std::string_view kControlLooking[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>", "<|endoftext|>",
    "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>",
    "<|tool_response>", "<｜end▁of▁sentence｜>", "[e~[", "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>",
    "▁<PRE>", "<|code_prefix|>", "<|prefix|>", "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>",
    "<|code_suffix|>", "<|suffix|>", "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>",
    "<|code_middle|>", "<|middle|>", "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]", "<|fim_repo|>", "<|repo_name|>",
    "<fim-repo>", "<REPO>", "<reponame>", "<|file_sep|>"};

// Of these, the ones that end what a model writes in llama.cpp whatever the file says.
constexpr size_t kEndLooking = 22;

// Tokens to fill in the middle of a text, by the key that names them.
struct Role {
  const char* key;
  std::vector<std::string_view> texts;
};
const std::vector<Role>& FillRoles() {
  static const auto* const kRoles = new std::vector<Role>{
      {"fim_pre", {"<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>", "<|code_prefix|>", "<|prefix|>"}},
      {"fim_suf", {"<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>", "<|code_suffix|>", "<|suffix|>"}},
      {"fim_mid", {"<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>", "<|code_middle|>", "<|middle|>"}},
      {"fim_pad", {"<|fim_pad|>", "<fim-pad>", "<fim_pad>"}},
      {"fim_rep", {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"}},
      {"fim_sep", {"<|file_sep|>"}}};
  return *kRoles;
}

constexpr char kAllowHint[] =
    "use --format nsq, which carries the tokenizer as it is, or write it all the same with --allow-tokenizer-mismatch";

// llama.cpp's converter writes names of templates so.
std::string PlainName(const std::string& name) {
  std::string out = name;
  for (char& c : out) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return out;
}

class Maker {
 public:
  Maker(const Description& description, const Directory& directory, uint64_t rows, const VocabularyOptions& options)
      : from_(description), directory_(directory), rows_(rows), options_(options) {}

  absl::StatusOr<Vocabulary> Make() {
    FillWithUnused();
    NS_RETURN_IF_ERROR(PlaceModelTokens());
    PlaceAddedTokens();
    MakeUnique();
    NS_RETURN_IF_ERROR(from_.kind == Kind::kByteLevel ? ByteLevel() : Pieces());
    WarnOfLoneFlags();
    WarnOfControlLooking();
    ResolveRoles();
    NS_ASSIGN_OR_RETURN(std::vector<ChatTemplate> templates, ReadChatTemplates(directory_));
    KeepTemplates(std::move(templates));
    return std::move(out_);
  }

 private:
  void Warn(std::string text) { out_.warnings.push_back(std::move(text)); }

  void FillWithUnused() {
    out_.tokens.resize(rows_);
    out_.types.resize(rows_, TokenType::kUnused);
    for (uint64_t id = 0; id < rows_; ++id) out_.tokens[id] = absl::StrCat("[PAD", id, "]");
    if (from_.kind != Kind::kByteLevel) out_.scores.assign(rows_, -1000.0);
  }

  absl::Status PlaceModelTokens() {
    int64_t highest = -1;
    std::string last;
    for (const auto& [text, id] : from_.ids) {
      if (id >= highest && !from_.added.HasId(id)) highest = id, last = text;
      if (static_cast<uint64_t>(id) >= rows_) continue;
      out_.tokens[id] = text;
      out_.types[id] = TypeOf(text, id);
      if (from_.kind == Kind::kSentencePiece) out_.scores[id] = from_.pieces.pieces[id].score;
    }
    if (highest < static_cast<int64_t>(rows_)) return absl::OkStatus();
    return MakeError(absl::StatusCode::kInvalidArgument, "VOCABULARY_TOO_LARGE",
                     absl::StrCat(from_.file, ": token '", last.substr(0, 200), "' has id ", highest, ", the embedding has ", rows_, " rows"),
                     "tokenizer and weights are of different models, or the embedding was not resized after tokens were added");
  }

  TokenType TypeOf(const std::string& text, int32_t id) const {
    if (from_.kind == Kind::kByteLevel) return TokenType::kNormal;
    if (from_.kind == Kind::kPieces) return ByteOfToken(text) >= 0 ? TokenType::kByte : TokenType::kNormal;
    switch (from_.pieces.pieces[id].kind) {
      case SentencePieceFile::Kind::kNormal: return TokenType::kNormal;
      case SentencePieceFile::Kind::kUnknown: return TokenType::kUnknown;
      case SentencePieceFile::Kind::kControl: return TokenType::kControl;
      // The model sees marks in place of spaces: a piece with a space in it never occurs, and llama.cpp would find it.
      case SentencePieceFile::Kind::kUserDefined:
        return absl::StrContains(text, ' ') ? TokenType::kNormal : TokenType::kUserDefined;
      case SentencePieceFile::Kind::kUnused: return TokenType::kUnused;
      case SentencePieceFile::Kind::kByte: return TokenType::kByte;
    }
    return TokenType::kNormal;
  }

  void PlaceAddedTokens() {
    if (from_.kind == Kind::kPieces) ScoresFromMerges();
    std::vector<std::string> beyond;
    for (const AddedToken& token : from_.added) {
      if (static_cast<uint64_t>(token.id) >= rows_) {
        beyond.push_back(absl::StrCat(token.content, " (", token.id, ")"));
        continue;
      }
      // Runs of spaces that Gemma lists as added: merges make them of a text's spaces, so they stay what they are.
      const bool merged = from_.kind == Kind::kPieces && !token.special && merged_.contains(token.content) &&
                          absl::StrContains(token.content, ToAbsl(kSpaceMark));
      if (merged) continue;
      const bool unknown = token.special && token.id == from_.ends.unknown && from_.kind != Kind::kByteLevel;
      out_.tokens[token.id] = token.content;
      out_.types[token.id] = unknown ? TokenType::kUnknown : token.special ? TokenType::kControl : TokenType::kUserDefined;
      if (!out_.scores.empty()) out_.scores[token.id] = 0;
    }
    // llama.cpp looks for user-defined tokens in the text itself, where a space is a space.
    if (from_.kind != Kind::kByteLevel) {
      for (uint64_t id = 0; id < rows_; ++id) {
        if (out_.types[id] == TokenType::kUserDefined) out_.tokens[id] = ReplaceEvery(out_.tokens[id], kSpaceMark, " ");
      }
    }
    if (beyond.empty()) return;
    Warn(absl::StrCat("the embedding has ", rows_, " rows, and none for ", Some(beyond), ": left out of the GGUF, where a text cannot produce ",
                      beyond.size() == 1 ? "it" : "them"));
  }

  // A BPE of pieces has merges but no scores. llama.cpp joins the neighbours whose joined piece scores highest, so the rank of
  // the first merge that makes a piece, negated, reproduces the order of the merges.
  void ScoresFromMerges() {
    absl::flat_hash_map<std::string, double> rank;
    for (size_t i = 0; i < from_.merges.size(); ++i) {
      const std::string made = from_.merges[i].first + from_.merges[i].second;
      if (rank.emplace(made, -static_cast<double>(i)).second) merged_.insert(made);
    }
    out_.scores.assign(rows_, -static_cast<double>(from_.merges.size()) - 1);
    for (uint64_t id = 0; id < rows_; ++id) {
      if (const auto it = rank.find(out_.tokens[id]); it != rank.end()) out_.scores[id] = it->second;
      if (out_.types[id] != TokenType::kNormal) out_.scores[id] = 0;
    }
  }

  // llama.cpp ends itself when two tokens have one text.
  void MakeUnique() {
    absl::flat_hash_map<std::string, uint64_t> seen;
    for (const bool filler : {false, true}) {
      for (uint64_t id = 0; id < rows_; ++id) {
        if ((out_.types[id] == TokenType::kUnused) != filler) continue;
        if (seen.emplace(out_.tokens[id], id).second) continue;
        if (!filler) {
          Warn(absl::StrCat("tokens ", seen[out_.tokens[id]], " and ", id, " have the same text '", out_.tokens[id].substr(0, 100),
                            "': the GGUF keeps the first, a text cannot produce the other"));
        }
        out_.types[id] = TokenType::kUnused;
        for (int n = 0; !seen.emplace(out_.tokens[id], id).second; ++n) out_.tokens[id] = absl::StrCat("[PAD", id, ".", n, "]");
      }
    }
  }

  absl::Status ByteLevel() {
    out_.model = "gpt2";
    for (const auto& [left, right] : from_.merges) out_.merges.push_back(absl::StrCat(left, " ", right));
    const PreTokenizerSteps steps = StepsOf(from_.pre_tokenizer);
    const LlamaPreTokenizer* row = FindLlamaPreTokenizer(steps.steps, from_.options.ignore_merges);
    if (row == nullptr) {
      const std::string what = absl::StrCat("the way it cuts a text, ", absl::StrJoin(steps.steps, " then ").substr(0, 300), ", has no name in llama.cpp");
      if (!options_.allow_mismatch) {
        return MakeError(absl::StatusCode::kInvalidArgument, "PRE_TOKENIZER_UNKNOWN", absl::StrCat(from_.file, ": ", what), kAllowHint);
      }
      out_.pre = "default";
      out_.differs_anywhere = true;
      Warn(absl::StrCat(from_.file, ": ", what, ": written as 'default', which cuts some texts differently"));
    } else {
      out_.pre = std::string(NameFor(*row, JsonString(directory_.config, "model_type")));
      if (!row->differs.empty()) {
        out_.differs_anywhere = true;
        out_.differs_in = std::string(row->differs);
      }
      if (row->ignore_merges != from_.options.ignore_merges) WarnOfUnreachable(row->ignore_merges);
    }
    if (steps.prefix_space) {
      out_.differs_anywhere = true;
      Warn("the tokenizer puts a space before every text, and llama.cpp does not for this kind: begin texts with a space");
    }
    KeepUnsaid(from_.normalizer, [](const Json&) { return false; });
    return absl::OkStatus();
  }

  // Whether the merges are ignored for whole pieces matters for tokens that no merge makes.
  void WarnOfUnreachable(bool ignores) {
    absl::flat_hash_set<std::string> made;
    for (const auto& [left, right] : from_.merges) made.insert(left + right);
    size_t count = 0;
    for (const auto& [text, id] : from_.ids) {
      size_t position = 0;
      NextChar(text, &position);
      if (position < text.size() && !made.contains(text) && !from_.added.HasId(id)) ++count;
    }
    if (count == 0) return;
    out_.differs_anywhere = true;
    Warn(absl::StrCat(count, " tokens are made by no merge, and llama.cpp's '", out_.pre, "' ", ignores ? "uses" : "does not use", " them all the same"));
  }

  absl::Status Pieces() {
    out_.model = "llama";
    out_.pre = "default";
    if (std::count(out_.types.begin(), out_.types.end(), TokenType::kByte) == 0) {
      out_.differs_anywhere = true;
      Warn("the vocabulary has no byte tokens: llama.cpp refuses texts with characters it cannot spell");
    }
    return from_.kind == Kind::kPieces ? JsonPieces() : SentencePiece();
  }

  absl::Status JsonPieces() {
    const Json& pre = from_.pre_tokenizer;
    bool prepends = false;
    KeepUnsaid(from_.normalizer, [&](const Json& step) {
      const std::string type = JsonString(step, "type");
      if (type == "Prepend") return prepends = JsonString(step, "prepend") == kSpaceMark;
      return type == "Replace" && JsonString(Field(step, "pattern"), "String") == " " && JsonString(step, "content") == kSpaceMark;
    });
    const std::string type = JsonString(pre, "type");
    if (type == "Metaspace") {
      const std::string scheme = JsonString(pre, "prepend_scheme", JsonBool(pre, "add_prefix_space", true) ? "always" : "never");
      prepends = prepends || scheme != "never";
      // It puts none before a text that has one, nor before what follows a token and has one; "first" none behind a token at all.
      out_.differs_at_tokens |= scheme != "never";
      out_.differs_at_space |= scheme != "never";
      if (scheme != "never") Warn("llama.cpp puts a space before a text that begins with one, and after every special token; the model's tokenizer does not");
    } else if (!pre.is_null() && !(type == "Split" && JsonString(Field(pre, "pattern"), "String") == " ")) {
      out_.differs_anywhere = true;
      const std::string what = absl::StrCat("pre_tokenizer '", type, "' with SentencePiece's pieces");
      if (!options_.allow_mismatch) {
        return MakeError(absl::StatusCode::kInvalidArgument, "PRE_TOKENIZER_UNKNOWN",
                         absl::StrCat(from_.file, ": GGUF cannot say ", what), kAllowHint);
      }
      Warn(absl::StrCat(from_.file, ": GGUF cannot say ", what, ": left out, some texts are cut differently"));
    }
    out_.add_space_prefix = prepends;
    return absl::OkStatus();
  }

  absl::Status SentencePiece() {
    const SentencePieceFile& file = from_.pieces;
    out_.add_space_prefix = file.adds_space_prefix;
    if (file.model != SentencePieceFile::Model::kBpe) {
      const char* what = "a SentencePiece model that is no BPE (unigram): llama.cpp splits by scores from left to right";
      if (!options_.allow_mismatch) {
        return MakeError(absl::StatusCode::kInvalidArgument, "TOKENIZER_UNKNOWN", absl::StrCat(from_.file, ": ", what), kAllowHint);
      }
      out_.differs_anywhere = true;
      Warn(absl::StrCat(from_.file, ": ", what, ", which differs for some texts"));
    }
    if (file.removes_extra_spaces || file.maps_characters) {
      out_.differs_anywhere = true;
      Warn(absl::StrCat("the tokenizer ", file.maps_characters ? "replaces characters by others (its normalization)" : "leaves out repeated spaces",
                        ", and llama.cpp does not: such texts are split differently"));
    }
    if (file.adds_space_prefix) {
      out_.differs_at_tokens = true;  // it depends on transformers' flag `legacy`, and llama.cpp does it always
    }
    return absl::OkStatus();
  }

  // Takes out of a normalizer what GGUF says in another way; the rest is left unsaid.
  template <typename IsSaid>
  void KeepUnsaid(const Json& normalizer, const IsSaid& is_said) {
    if (normalizer.is_null()) return;
    const Json steps = JsonString(normalizer, "type") == "Sequence" ? Field(normalizer, "normalizers") : Json::array({normalizer});
    Json rest = Json::array();
    std::vector<std::string> names;
    for (const Json& step : steps) {
      if (is_said(step)) continue;
      rest.push_back(step);
      names.push_back(JsonString(step, "type"));
    }
    if (rest.empty()) return;
    out_.unsaid_normalizer = {{"type", "Sequence"}, {"normalizers", rest}};
    Warn(absl::StrCat("the tokenizer normalizes a text first (", absl::StrJoin(names, ", "),
                      "), and GGUF cannot say so: llama.cpp splits texts that are not normalized differently"));
  }

  // Conditions of added tokens that llama.cpp does not know.
  void WarnOfLoneFlags() {
    std::vector<std::string> names;
    for (const AddedToken& token : from_.added) {
      // With pieces, what is looked for in the normalized text may have a mark for a space before it.
      const bool marked = token.normalized && from_.kind == Kind::kPieces;
      if (token.lstrip || token.rstrip || token.single_word || marked) names.push_back(token.content);
    }
    if (names.empty()) return;
    out_.differs_at_tokens = true;
    Warn(absl::StrCat("the tokenizer takes ", Some(names), " only at some places, or with the spaces beside it; llama.cpp everywhere as it is written"));
  }

  void WarnOfControlLooking() {
    std::vector<std::string> names;
    for (const std::string_view text : ControlLookingTokens()) {
      const int32_t id = from_.Find(std::string(text));
      if (id < 0 || static_cast<uint64_t>(id) >= rows_ || out_.types[id] != TokenType::kNormal) continue;
      names.emplace_back(text);
    }
    if (names.empty()) return;
    out_.differs_anywhere = true;
    Warn(absl::StrCat("llama.cpp takes ", Some(names), " for a special token, the model's tokenizer for text"));
  }

  const std::string& TextOf(int32_t id) const { return out_.tokens[id]; }
  bool Has(int32_t id) const { return id >= 0 && static_cast<uint64_t>(id) < rows_; }
  static bool LooksLikeEnd(const std::string& text) {
    return std::find(kControlLooking, kControlLooking + kEndLooking, text) != kControlLooking + kEndLooking;
  }

  void ResolveRoles() {
    out_.ends = from_.ends;
    for (int32_t* id : {&out_.ends.bos, &out_.ends.eos, &out_.ends.unknown, &out_.ends.padding, &out_.ends.separator, &out_.ends.mask}) {
      if (!Has(*id)) *id = -1;
    }
    out_.ends.add_bos = out_.ends.add_bos && out_.ends.bos >= 0;
    std::vector<int32_t> ends = AllEnds(directory_);
    std::erase_if(ends, [&](int32_t id) { return !Has(id); });
    if (out_.ends.eos < 0 && !ends.empty()) out_.ends.eos = ends.front();
    // An id left over from another model's config.json may be a letter.
    std::erase_if(ends, [&](int32_t id) { return out_.types[id] == TokenType::kNormal; });
    out_.ends.add_eos = out_.ends.add_eos && out_.ends.eos >= 0;
    std::erase(ends, out_.ends.eos);
    // Those that llama.cpp knows by their text come first as the end of a turn.
    std::stable_partition(ends.begin(), ends.end(), [&](int32_t id) { return LooksLikeEnd(TextOf(id)); });
    AssignEnds(ends);
    for (const Role& role : FillRoles()) {
      for (const std::string_view text : role.texts) {
        const int32_t id = from_.Find(std::string(text));
        if (!Has(id) || out_.types[id] == TokenType::kNormal) continue;
        out_.roles.emplace_back(role.key, id);
        break;
      }
    }
    if (out_.ends.eos < 0) Warn("the model's files name no token that ends a text: llama.cpp will take one of its own choice");
  }

  void AssignEnds(const std::vector<int32_t>& ends) {
    bool eot = false, eom = false;
    std::vector<std::string> lost;
    for (const int32_t id : ends) {
      if (!eom && TextOf(id) == "<|eom_id|>") {
        out_.roles.emplace_back("eom", id);
        eom = true;
      } else if (!eot) {
        out_.roles.emplace_back("eot", id);
        eot = true;
      } else if (!eom && !LooksLikeEnd(TextOf(id))) {
        out_.roles.emplace_back("eom", id);
        eom = true;
      } else if (!LooksLikeEnd(TextOf(id))) {
        lost.push_back(absl::StrCat(TextOf(id), " (", id, ")"));
      }
    }
    if (!lost.empty()) Warn(absl::StrCat("GGUF has no place for so many end tokens: llama.cpp does not stop at ", Some(lost)));
  }

  // Two names may be one in a GGUF, where a key must not be there twice.
  void KeepTemplates(std::vector<ChatTemplate> templates) {
    absl::flat_hash_map<std::string, std::string> kept;  // names by their plain ones
    for (ChatTemplate& found : templates) {
      const auto [it, fresh] = kept.emplace(PlainName(found.name), found.name);
      if (!fresh) {
        Warn(absl::StrCat("the chat templates ", Some({it->second, found.name}), " have one name in a GGUF: the first is written"));
        continue;
      }
      out_.templates.push_back(std::move(found));
    }
  }

  // "a, b and 7 more", of names from a file.
  static std::string Some(const std::vector<std::string>& names) {
    constexpr size_t kShown = 4;
    std::vector<std::string> quoted;
    for (const std::string& name : names) quoted.push_back(absl::StrCat("'", absl::CHexEscape(name.substr(0, 60)), "'"));
    return SomeOf(quoted, kShown);
  }

  const Description& from_;
  const Directory& directory_;
  const uint64_t rows_;
  const VocabularyOptions& options_;
  absl::flat_hash_set<std::string> merged_;  // what merges make
  Vocabulary out_;
};

}  // namespace

absl::Span<const std::string_view> ControlLookingTokens() { return kControlLooking; }

absl::StatusOr<Vocabulary> MakeVocabulary(const Description& description, const Directory& directory, uint64_t rows,
                                          const VocabularyOptions& options) {
  return Maker(description, directory, rows, options).Make();
}

void AppendMetadata(const Vocabulary& vocabulary, std::vector<checkpoint::GgufMetadata>* out) {
  using checkpoint::GgufValue;
  const auto add = [&](const std::string& key, GgufValue value) {
    out->push_back({absl::StrCat("tokenizer.", key), std::move(value)});
  };
  add("ggml.model", GgufValue::String(vocabulary.model));
  add("ggml.pre", GgufValue::String(vocabulary.pre));
  add("ggml.tokens", GgufValue::Strings(vocabulary.tokens));
  if (!vocabulary.scores.empty()) add("ggml.scores", GgufValue::F32s(vocabulary.scores));
  std::vector<int64_t> types;
  for (const TokenType type : vocabulary.types) types.push_back(static_cast<int64_t>(type));
  add("ggml.token_type", GgufValue::I32s(std::move(types)));
  // Without the key llama.cpp refuses the file, even where there are none.
  if (vocabulary.model == "gpt2") add("ggml.merges", GgufValue::Strings(vocabulary.merges));
  const auto add_id = [&](const std::string& name, int32_t id) {
    if (id >= 0) add(absl::StrCat("ggml.", name, "_token_id"), GgufValue::U32(static_cast<uint32_t>(id)));
  };
  const Ends& ends = vocabulary.ends;
  add_id("bos", ends.bos);
  add_id("eos", ends.eos);
  add_id("unknown", ends.unknown);
  add_id("seperator", ends.separator);  // so spelt in the format
  add_id("padding", ends.padding);
  add_id("mask", ends.mask);
  for (const auto& [name, id] : vocabulary.roles) add_id(name, id);
  add("ggml.add_bos_token", GgufValue::Bool(ends.add_bos));
  if (ends.add_eos) add("ggml.add_eos_token", GgufValue::Bool(true));
  if (vocabulary.model == "llama") add("ggml.add_space_prefix", GgufValue::Bool(vocabulary.add_space_prefix));
  std::vector<std::string> names;
  for (const ChatTemplate& found : vocabulary.templates) {
    const bool is_default = found.name == "default";
    if (!is_default) names.push_back(PlainName(found.name));
    add(is_default ? "chat_template" : absl::StrCat("chat_template.", names.back()), GgufValue::String(found.text));
  }
  if (!names.empty()) add("chat_templates", GgufValue::Strings(std::move(names)));
}

}  // namespace nashswarm::tokenizer

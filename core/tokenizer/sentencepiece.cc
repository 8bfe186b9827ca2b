#include "core/tokenizer/sentencepiece.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "core/base/file.h"
#include "core/model/sentencepiece_file.h"
#include "core/tokenizer/json_parts.h"
#include "core/tokenizer/sentencepiece_library.h"

namespace nashswarm::tokenizer {
namespace {

constexpr char kFile[] = "tokenizer.model";
// Put before a text that begins with a space, so that the library does not take that for padding; then left out again.
constexpr std::string_view kGuard = "<unk>";

struct Parts {
  std::unique_ptr<SentencePieceLibrary> whole, rest;  // with and without the space before a text
  std::vector<std::string> texts;
  std::vector<AddedToken> added;
  Decoder decoder;
  Ends ends;
};

class SentencePieceTokenizer : public Tokenizer {
 public:
  explicit SentencePieceTokenizer(Parts parts) : parts_(std::move(parts)), splitter_(parts_.added) {
    for (const AddedToken& token : parts_.added) {
      if (token.special) special_.insert(token.id);
    }
    std::vector<int> guard;
    parts_.rest->Encode(kGuard, &guard);
    guard_tokens_ = guard.size();
  }

  std::vector<int32_t> Encode(std::string_view text) const override {
    std::string valid;
    if (ValidUtf8Prefix(text) != text.size()) text = valid = ReplaceInvalidUtf8(text);
    std::vector<TextPart> stretches;
    splitter_.Split(text, &stretches);
    std::vector<int32_t> out;
    for (const TextPart& part : stretches) {
      if (part.id >= 0) out.push_back(part.id);
      else if (part.text.data() == text.data()) parts_.whole->Encode(part.text, &out);
      else EncodeRest(part.text, &out);
    }
    return out;
  }

  std::string Decode(absl::Span<const int32_t> tokens) const override {
    std::vector<std::string> texts;
    for (const int32_t id : tokens) {
      if (id >= 0 && static_cast<size_t>(id) < parts_.texts.size() && !special_.contains(id)) texts.push_back(parts_.texts[id]);
    }
    return parts_.decoder.Decode(std::move(texts));
  }

  uint64_t size() const override { return parts_.texts.size(); }
  int32_t bos() const override { return parts_.ends.bos; }
  int32_t eos() const override { return parts_.ends.eos; }
  bool add_bos() const override { return parts_.ends.add_bos; }

 private:
  void EncodeRest(std::string_view text, std::vector<int32_t>* out) const {
    if (text[0] != ' ' && text.substr(0, kSpaceMark.size()) != kSpaceMark) return parts_.rest->Encode(text, out);
    std::vector<int> guarded;
    parts_.rest->Encode(absl::StrCat(ToAbsl(kGuard), ToAbsl(text)), &guarded);
    out->insert(out->end(), guarded.begin() + static_cast<ptrdiff_t>(std::min(guard_tokens_, guarded.size())), guarded.end());
  }

  Parts parts_;
  AddedTokenSplitter splitter_;
  absl::flat_hash_set<int32_t> special_;
  size_t guard_tokens_ = 0;
};

absl::Status Refused(std::string_view error) {
  return MakeError(absl::StatusCode::kInvalidArgument, "TOKENIZER_INVALID",
                   absl::StrCat(kFile, ": not a SentencePiece model (", ToAbsl(error), ")"),
                   "download tokenizer.model again; a Git LFS pointer in its place is a text of three lines");
}

void AddIfNamed(const model::SentencePieceFile& file, int id, std::vector<AddedToken>* added) {
  if (id >= 0 && static_cast<size_t>(id) < file.pieces.size()) {
    added->push_back({.content = file.pieces[id].text, .id = id, .special = true});
  }
}

absl::Status PlaceTexts(const model::SentencePieceFile& file, const std::vector<AddedToken>& added, std::vector<std::string>* texts) {
  for (const auto& piece : file.pieces) texts->push_back(piece.text);
  for (const AddedToken& token : added) {
    const auto id = static_cast<size_t>(token.id);
    if (id < file.pieces.size() && file.pieces[id].text != token.content) {
      return Invalid("tokenizer_config.json or added_tokens.json",
                     absl::StrCat("token '", token.content.substr(0, 200), "' has the id ", id, ", which is that of '",
                                  file.pieces[id].text.substr(0, 200), "' in ", kFile));
    }
    if (id >= texts->size()) texts->resize(id + 1);
    (*texts)[id] = token.content;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> OpenSentencePiece(const Directory& directory) {
  NS_ASSIGN_OR_RETURN(const std::string content, ReadFile(JoinPath(directory.path, kFile), kMaxTokenizerBytes));
  model::SentencePieceFile file;
  std::string error;
  if (!model::ParseSentencePiece(content, &file, &error)) return Refused(error);
  Parts parts;
  parts.whole = SentencePieceLibrary::Load(content, /*own_prefix=*/true, &error);
  parts.rest = SentencePieceLibrary::Load(content, /*own_prefix=*/false, &error);
  if (parts.whole == nullptr || parts.rest == nullptr) return Refused(error);

  absl::flat_hash_map<std::string, int32_t> by_text;
  for (size_t id = 0; id < file.pieces.size(); ++id) by_text.emplace(file.pieces[id].text, static_cast<int32_t>(id));
  const auto ids = [&](const std::string& text) {
    const auto it = by_text.find(text);
    return it == by_text.end() ? -1 : it->second;
  };
  for (const int id : {file.bos, file.eos, file.unknown}) AddIfNamed(file, id, &parts.added);
  NS_RETURN_IF_ERROR(AppendAddedTokens(directory, ids, &parts.added));
  NS_RETURN_IF_ERROR(PlaceTexts(file, parts.added, &parts.texts));
  for (const AddedToken& token : parts.added) by_text.emplace(token.content, token.id);
  parts.decoder = Decoder::SentencePiece(file.adds_space_prefix);
  parts.ends = ResolveEnds(directory, ids, {.bos = file.bos, .eos = file.eos, .add_bos = file.bos >= 0});
  return std::make_unique<SentencePieceTokenizer>(std::move(parts));
}

}  // namespace nashswarm::tokenizer

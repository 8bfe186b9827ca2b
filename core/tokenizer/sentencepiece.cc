#include "core/tokenizer/sentencepiece.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "core/base/file.h"
#include "core/tokenizer/decoder.h"
#include "core/tokenizer/huggingface.h"
#include "core/tokenizer/json_parts.h"
#include "core/tokenizer/sentencepiece_file.h"
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

// Lines of base64 and a rank, which OpenAI's tiktoken reads.
bool LooksLikeTiktoken(std::string_view content) {
  const std::string_view line = content.substr(0, content.find('\n'));
  const size_t space = line.find(' ');
  return space != std::string_view::npos && space > 0 && line.size() > space + 1 &&
         std::all_of(line.begin() + static_cast<ptrdiff_t>(space) + 1, line.end(), [](char c) { return absl::ascii_isdigit(c); });
}

absl::Status Refused(std::string_view content, std::string_view error) {
  if (LooksLikeTiktoken(content)) {
    return Unknown(kFile, "a tiktoken file, not a SentencePiece model", "put the model's tokenizer.json beside it; transformers writes one with save_pretrained");
  }
  return Invalid(kFile, absl::StrCat("not a SentencePiece model (", ToAbsl(error), ")"));
}

// Every id's text; an added token takes the place of the model's piece of that id, as in transformers.
std::vector<std::string> TextsOf(const Description& description) {
  std::vector<std::string> texts;
  for (const auto& piece : description.pieces.pieces) texts.push_back(piece.text);
  for (const AddedToken& token : description.added) {
    const auto id = static_cast<size_t>(token.id);
    if (id >= texts.size()) texts.resize(id + 1);
    texts[id] = token.content;
  }
  return texts;
}

}  // namespace

absl::StatusOr<Description> DescribeSentencePiece(const Directory& directory) {
  Description out;
  out.kind = Description::Kind::kSentencePiece;
  out.file = kFile;
  NS_ASSIGN_OR_RETURN(out.model_file, ReadFile(JoinPath(directory.path, kFile), kMaxTokenizerBytes));
  std::string error;
  if (!ParseSentencePiece(out.model_file, &out.pieces, &error)) return Refused(out.model_file, error);
  const auto& pieces = out.pieces.pieces;
  for (size_t id = 0; id < pieces.size(); ++id) out.ids.emplace(pieces[id].text, static_cast<int32_t>(id));
  const TokenIds ids = [&out](const std::string& text) { return out.Find(text); };
  if (directory.Has("tokenizer.json")) {
    NS_ASSIGN_OR_RETURN(const Json json, directory.ReadJson("tokenizer.json"));
    NS_ASSIGN_OR_RETURN(out.added, ReadAddedTokens(json, ids));
  }
  NS_RETURN_IF_ERROR(AppendAddedTokens(directory, ids, &out.added));
  // Control pieces are special tokens as soon as transformers has converted the file.
  for (size_t i = 0; i < pieces.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    const bool special = pieces[i].kind == SentencePieceFile::Kind::kControl || id == out.pieces.unknown;
    if (special && !out.added.HasId(id)) out.added.Add({.content = pieces[i].text, .id = id, .special = true});
  }
  Ends ends;
  ends.bos = out.pieces.bos;
  ends.eos = out.pieces.eos;
  ends.unknown = out.pieces.unknown;
  ends.padding = out.pieces.padding;
  ends.add_bos = ends.bos >= 0;
  out.ends = ResolveEnds(directory, ids, ends);
  return out;
}

absl::StatusOr<std::unique_ptr<Tokenizer>> MakeSentencePiece(const Description& description) {
  Parts parts;
  std::string error;
  parts.whole = SentencePieceLibrary::Load(description.model_file, /*own_prefix=*/true, &error);
  parts.rest = SentencePieceLibrary::Load(description.model_file, /*own_prefix=*/false, &error);
  if (parts.whole == nullptr || parts.rest == nullptr) return Refused(description.model_file, error);
  parts.texts = TextsOf(description);
  parts.added = description.added.list();
  parts.decoder = Decoder::SentencePiece(description.pieces.adds_space_prefix);
  parts.ends = description.ends;
  return std::make_unique<SentencePieceTokenizer>(std::move(parts));
}

}  // namespace nashswarm::tokenizer

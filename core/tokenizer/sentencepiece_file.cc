#include "core/tokenizer/sentencepiece_file.h"

#include <sentencepiece_processor.h>

#include <cstdint>
#include <string_view>

namespace nashswarm::tokenizer {
namespace {

// A message of the protocol buffers wire format, field by field. The library has checked the file before.
class Fields {
 public:
  explicit Fields(std::string_view message) : rest_(message) {}

  // The next field: its number, and its value or its bytes. False at the end, or where nothing can be read.
  bool Next() {
    uint64_t key;
    if (rest_.empty() || !Varint(&key)) return false;
    number_ = static_cast<int>(key >> 3);
    switch (key & 7) {
      case 0: return Varint(&value_);
      case 1: return Take(8);
      case 2: return Varint(&value_) && Take(value_);
      case 5: return Take(4);
      default: return false;
    }
  }
  int number() const { return number_; }
  uint64_t value() const { return value_; }
  std::string_view bytes() const { return bytes_; }

 private:
  bool Varint(uint64_t* out) {
    *out = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      *out |= static_cast<uint64_t>(byte & 127) << shift;
      if (byte < 128) return true;
    }
    return false;
  }
  bool Take(uint64_t length) {
    if (length > rest_.size()) return false;
    bytes_ = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return true;
  }

  std::string_view rest_, bytes_;
  int number_ = 0;
  uint64_t value_ = 0;
};

using Kind = SentencePieceFile::Kind;

Kind KindOf(std::string_view piece) {
  Kind kind = Kind::kNormal;
  for (Fields fields(piece); fields.Next();) {
    if (fields.number() == 3 && fields.value() >= 1 && fields.value() <= 6) kind = static_cast<Kind>(fields.value());
  }
  return kind;
}

void ReadTrainer(std::string_view spec, SentencePieceFile* out) {
  for (Fields fields(spec); fields.Next();) {
    if (fields.number() == 3 && fields.value() >= 1 && fields.value() <= 4) {
      out->model = static_cast<SentencePieceFile::Model>(fields.value());
    }
  }
}

void ReadNormalizer(std::string_view spec, SentencePieceFile* out) {
  out->adds_space_prefix = out->removes_extra_spaces = true;  // the proto's defaults
  for (Fields fields(spec); fields.Next();) {
    switch (fields.number()) {
      case 2: out->maps_characters = !fields.bytes().empty(); break;
      case 3: out->adds_space_prefix = fields.value() != 0; break;
      case 4: out->removes_extra_spaces = fields.value() != 0; break;
      default: break;
    }
  }
}

}  // namespace

bool ParseSentencePiece(const std::string& content, SentencePieceFile* out, std::string* error) {
  sentencepiece::SentencePieceProcessor processor;
  if (const auto status = processor.LoadFromSerializedProto(content); !status.ok()) {
    *error = status.ToString();
    return false;
  }
  ReadNormalizer({}, out);
  int id = 0;
  for (Fields fields(content); fields.Next();) {
    if (fields.number() == 2) ReadTrainer(fields.bytes(), out);
    if (fields.number() == 3) ReadNormalizer(fields.bytes(), out);
    if (fields.number() != 1 || id >= processor.GetPieceSize()) continue;
    out->pieces.push_back({processor.IdToPiece(id), processor.GetScore(id), KindOf(fields.bytes())});
    ++id;
  }
  if (id != processor.GetPieceSize()) {
    *error = "its pieces cannot be counted";
    return false;
  }
  out->bos = processor.bos_id();
  out->eos = processor.eos_id();
  out->unknown = processor.unk_id();
  out->padding = processor.pad_id();
  return true;
}

}  // namespace nashswarm::tokenizer

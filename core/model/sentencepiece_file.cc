#include "core/model/sentencepiece_file.h"

#include <sentencepiece_processor.h>

namespace nashswarm::model {

bool ParseSentencePiece(const std::string& content, SentencePieceFile* out, std::string* error) {
  using Kind = SentencePieceFile::Kind;
  sentencepiece::SentencePieceProcessor processor;
  if (const auto status = processor.LoadFromSerializedProto(content); !status.ok()) {
    *error = status.ToString();
    return false;
  }
  for (int id = 0; id < processor.GetPieceSize(); ++id) {
    const Kind kind = processor.IsUnknown(id)   ? Kind::kUnknown
                      : processor.IsControl(id) ? Kind::kControl
                      : processor.IsUnused(id)  ? Kind::kUnused
                      : processor.IsByte(id)    ? Kind::kByte
                                                : Kind::kNormal;
    out->pieces.push_back({processor.IdToPiece(id), processor.GetScore(id), kind});
  }
  out->bos = processor.bos_id();
  out->eos = processor.eos_id();
  out->unknown = processor.unk_id();
  out->padding = processor.pad_id();
  // The normalizer's add_dummy_prefix is not exposed; what it does to a text is. The prefix is U+2581.
  std::vector<std::string> probe;
  out->adds_space_prefix =
      processor.Encode("a", &probe).ok() && !probe.empty() && probe[0].compare(0, 3, "\xe2\x96\x81") == 0;
  return true;
}

}  // namespace nashswarm::model

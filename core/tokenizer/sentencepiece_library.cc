#include "core/tokenizer/sentencepiece_library.h"

#include <sentencepiece_processor.h>

namespace nashswarm::tokenizer {
namespace {

// ModelProto.normalizer_spec.add_dummy_prefix = false. Fields of a message that occur again behind it replace or are
// merged into the earlier ones (Protocol Buffers, "Last One Wins"), so this needs no parser.
constexpr char kNoPrefix[] = {0x1a, 0x02, 0x18, 0x00};

}  // namespace

struct SentencePieceLibrary::Impl {
  sentencepiece::SentencePieceProcessor processor;
};

SentencePieceLibrary::SentencePieceLibrary(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SentencePieceLibrary::~SentencePieceLibrary() = default;

std::unique_ptr<SentencePieceLibrary> SentencePieceLibrary::Load(const std::string& content, bool own_prefix,
                                                                 std::string* error) {
  auto impl = std::make_unique<Impl>();
  const std::string model = own_prefix ? content : content + std::string(kNoPrefix, sizeof(kNoPrefix));
  if (const auto status = impl->processor.LoadFromSerializedProto(model); !status.ok()) {
    *error = status.ToString();
    return nullptr;
  }
  return std::unique_ptr<SentencePieceLibrary>(new SentencePieceLibrary(std::move(impl)));
}

void SentencePieceLibrary::Encode(std::string_view text, std::vector<int>* ids) const {
  std::vector<int> found;
  if (!impl_->processor.Encode(absl::string_view(text.data(), text.size()), &found).ok()) return;
  ids->insert(ids->end(), found.begin(), found.end());
}

}  // namespace nashswarm::tokenizer

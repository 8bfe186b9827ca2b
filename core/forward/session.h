// Sequences continued in lockstep, with what blocks remember of them: keys and values.
#ifndef NASHSWARM_CORE_FORWARD_SESSION_H_
#define NASHSWARM_CORE_FORWARD_SESSION_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/forward/decoder.h"
#include "core/forward/transformer.h"

namespace nashswarm::forward {

// `decoder` outlives it, and is used by one session at a time.
class DecoderSession : public Transformer::Session {
 public:
  // INVALID_ARGUMENT / CONTEXT_TOO_LONG when `capacity` exceeds the model's context, BATCH_TOO_LARGE when what
  // is kept of them does not fit into memory's addresses.
  static absl::StatusOr<std::unique_ptr<Transformer::Session>> Make(Decoder& decoder, uint64_t windows, uint64_t capacity);

  // After an error the session is of no more use.
  absl::Status Step(absl::Span<const int32_t> tokens, uint64_t count, float* logits) override;
  uint64_t position() const override { return position_; }

 private:
  DecoderSession(Decoder& decoder, uint64_t windows, uint64_t capacity);

  Decoder& decoder_;
  const uint64_t windows_, capacity_;
  uint64_t position_ = 0;
  std::vector<LayerState> states_;  // by layer
  std::vector<float> hidden_, last_;
};

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_SESSION_H_

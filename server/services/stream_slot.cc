#include "core/base/status.h"
#include "server/services/context.h"

namespace nashswarm::server {

StreamSlot::StreamSlot(StreamSlots* slots) : slots_(slots) {
  if (slots_->TryTake()) return;
  status_ = MakeError(absl::StatusCode::kResourceExhausted, "TOO_MANY_STREAMS",
                      "as many uploads, downloads and watches are open as the server allows",
                      "try again in a moment, or raise --max-streams");
}

}  // namespace nashswarm::server

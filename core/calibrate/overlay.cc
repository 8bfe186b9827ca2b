#include "core/calibrate/overlay.h"

#include <algorithm>

namespace nashswarm::calibrate {

absl::Status OverlayWeights::Read(std::string_view tensor, uint64_t first, uint64_t count, float* out) const {
  const auto it = replaced_.find(tensor);
  if (it == replaced_.end()) return base_->Read(tensor, first, count, out);
  const uint64_t row = base_->Find(tensor)->row_weights;
  std::copy_n(it->second.begin() + static_cast<ptrdiff_t>(first * row), count * row, out);
  return absl::OkStatus();
}

}  // namespace nashswarm::calibrate

#include "core/game/routing/centres.h"

#include <algorithm>

#include "core/base/checked.h"
#include "core/base/status.h"
#include "core/game/routing/kernels.h"
#include "core/game/routing/routing.h"

namespace nashswarm::routing {

absl::StatusOr<Centres> Centres::Make(absl::Span<const float> rows, size_t experts, size_t width) {
  if (experts < 1 || experts > kMaxExperts || width < 1 || CheckedMul(experts, width) != rows.size()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "ROUTING_SHAPE",
                     absl::StrCat("the router's rows: ", rows.size(), " numbers for ", experts, " experts x ", width));
  }
  const Kernels& kernels = ActiveKernels();
  if (!kernels.finite(rows.data(), rows.size())) {
    return MakeError(absl::StatusCode::kInvalidArgument, "NON_FINITE_CENTRES", "the router's rows: NaN or infinity");
  }
  std::vector<double> exact(experts * experts);
  double greatest = 0;
  for (size_t i = 0; i < experts; ++i) {
    for (size_t j = 0; j <= i; ++j) {
      exact[i * experts + j] = exact[j * experts + i] = kernels.dot(&rows[i * width], &rows[j * width], width);
    }
    greatest = std::max(greatest, exact[i * experts + i]);
  }
  std::vector<float> products(exact.size(), 0.0f);
  if (greatest > 0) {
    for (size_t at = 0; at < exact.size(); ++at) products[at] = static_cast<float>(exact[at] / greatest);
  }
  return Centres(experts, std::move(products));
}

}  // namespace nashswarm::routing

// The vector twin of kernels_scalar.cc, compiled once per instruction set; see kernels.h for why results agree to the bit.
#include <limits>

#include "core/game/routing/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/game/routing/kernels_simd.cc"
#include "hwy/foreach_target.h"  // must come before highway.h
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace nashswarm::routing {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

void Rank(const float* columns, size_t experts, size_t rank, float* room, float* out) {
  const D d;
  for (size_t i = 0; i < rank * kBlock; i += hn::Lanes(d)) hn::StoreU(hn::Set(d, -kInfinity), d, room + i);
  for (size_t t = 0; t < kBlock; t += hn::Lanes(d)) {
    for (size_t e = 0; e < experts; ++e) {
      auto value = hn::LoadU(d, columns + e * kBlock + t);
      for (size_t r = 0; r < rank; ++r) {
        const auto kept = hn::LoadU(d, room + r * kBlock + t);
        hn::StoreU(hn::Max(kept, value), d, room + r * kBlock + t);
        value = hn::Min(kept, value);
      }
    }
    hn::StoreU(hn::LoadU(d, room + (rank - 1) * kBlock + t), d, out + t);
  }
}

void Wants(const BlockView& block, uint8_t* out) {
  const D d;
  const auto none = hn::Set(d, kInfinity), nothing = hn::Set(d, -kInfinity);
  for (size_t t = 0; t < kBlock; t += hn::Lanes(d)) {
    auto least = none, most = nothing;
    for (size_t e = 0; e < block.experts; ++e) {
      auto worth = hn::LoadU(d, block.fixed + e * kBlock + t);
      if (block.aligned != nullptr) {
        worth = hn::Add(worth, hn::Mul(hn::Set(d, block.alignment), hn::LoadU(d, block.aligned + e * kBlock + t)));
      }
      const auto uses = hn::Ne(hn::LoadU(d, block.chosen + e * kBlock + t), hn::Zero(d));
      worth = hn::Sub(worth, hn::IfThenElse(uses, hn::Set(d, block.stay[e]), hn::Set(d, block.join[e])));
      least = hn::Min(least, hn::IfThenElse(uses, worth, none));
      most = hn::Max(most, hn::IfThenElse(uses, nothing, worth));
    }
    float wants[16];
    hn::StoreU(hn::IfThenElseZero(hn::Gt(most, least), hn::Set(d, 1.0f)), d, wants);
    for (size_t i = 0; i < hn::Lanes(d); ++i) out[t + i] = wants[i] != 0 ? 1 : 0;
  }
}

}  // namespace

const Kernels& TargetKernels() {
  static const Kernels kernels = {hwy::TargetName(HWY_TARGET), Rank, Wants};
  return kernels;
}

}  // namespace HWY_NAMESPACE
}  // namespace nashswarm::routing
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace nashswarm::routing {
namespace {

bool force_scalar = false;

}  // namespace

HWY_EXPORT(TargetKernels);

const Kernels& SimdKernels() { return HWY_DYNAMIC_DISPATCH(TargetKernels)(); }

const Kernels& ActiveKernels() { return force_scalar ? ScalarKernels() : SimdKernels(); }

void ForceScalarKernels(bool on) { force_scalar = on; }

int64_t KernelTargets() { return hwy::SupportedTargets() & HWY_TARGETS; }

void UseKernelTarget(int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace nashswarm::routing

#endif  // HWY_ONCE

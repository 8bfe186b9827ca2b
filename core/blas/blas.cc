#include "core/blas/blas.h"

#include <cblas.h>
#include <cstdlib>
#include <unistd.h>

namespace nashswarm::blas {
namespace {

// The AVX-512 subsets OpenBLAS's SkylakeX kernels use.
bool HasAvx512() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
  return false;
#endif
}

bool KernelsUseAvx512() {
  const std::string name = BlasKernels();
  return name == "SkylakeX" || name == "Cooperlake" || name == "SapphireRapids";
}

}  // namespace

void ChooseBlasKernels(char** argv) {
  constexpr char kVariable[] = "OPENBLAS_CORETYPE";
  if (std::getenv(kVariable) != nullptr || !HasAvx512() || KernelsUseAvx512()) return;
  setenv(kVariable, "SkylakeX", 1);
  execv("/proc/self/exe", argv);
  // The kernels are slower than they could be, and nothing else is lost.
}

std::string BlasKernels() { return openblas_get_corename(); }

void UseSingleThreadedBlas() { openblas_set_num_threads(1); }

}  // namespace nashswarm::blas

#include "core/blas/blas.h"

#include <cblas.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

// Of OpenBLAS (common.h), exported but in no installed header. `position` is not used.
extern "C" void* blas_memory_alloc(int position);
extern "C" void blas_memory_free(void* buffer);

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

// What OpenBLAS maps for one call in progress: BUFFER_SIZE of its param.h, the largest among the processors that a build for
// many of them serves.
constexpr size_t kBufferBytes = size_t{128} << 20;
// It keeps twice as many buffers as it was built to have threads, and ends the process beyond: half of the smallest build.
constexpr int kMostBuffers = 64;

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

bool ReserveBuffers(int threads) {
  const auto count = static_cast<size_t>(std::clamp(threads, 1, kMostBuffers));
  void* room = mmap(nullptr, count * kBufferBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return false;
  munmap(room, count * kBufferBytes);
  std::vector<void*> buffers(count);
  for (void*& buffer : buffers) buffer = blas_memory_alloc(0);
  for (void* buffer : buffers) blas_memory_free(buffer);
  return true;
}

void UseSingleThreadedBlas() { openblas_set_num_threads(1); }

}  // namespace nashswarm::blas

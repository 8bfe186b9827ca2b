// Which processor this is, for reports: figures of speed mean nothing without it, and BLAS's kernels differ by it.
#ifndef NASHSWARM_CORE_BASE_CPU_H_
#define NASHSWARM_CORE_BASE_CPU_H_

#include <string>

namespace nashswarm {

// The brand as the processor gives it, "AMD EPYC 9B14"; the instruction set where it gives none. Looks into no file, so it
// works in a sandbox.
std::string CpuName();

}  // namespace nashswarm

#endif  // NASHSWARM_CORE_BASE_CPU_H_

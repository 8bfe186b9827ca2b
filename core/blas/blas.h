// OpenBLAS: choosing its kernels, and calling it from many threads of ours.
#ifndef NASHSWARM_CORE_BLAS_BLAS_H_
#define NASHSWARM_CORE_BLAS_BLAS_H_

#include <string>

namespace nashswarm::blas {

// OpenBLAS picks its kernels when it is loaded, and does not recognise newer AMD processors: on a CPU with AVX-512 this sets
// OPENBLAS_CORETYPE and starts the program again (same arguments, same process id), which doubles sgemm there. Does nothing
// when the user has set OPENBLAS_CORETYPE, or OpenBLAS chose well by itself. Call first in main().
void ChooseBlasKernels(char** argv);

// The kernels in use, as OpenBLAS names them ("SkylakeX").
std::string BlasKernels();

// From now on every call to BLAS runs in its calling thread alone: our own threads share the work. Idempotent.
void UseSingleThreadedBlas();

// Takes OpenBLAS's working memory for `threads` threads that call it at once, and gives it back to OpenBLAS's own pool. False when
// there is not so much under this process's limit: call it before BLAS where a limit is set, because OpenBLAS that gets no
// memory tries again for ever. Address space is all it costs until the calls come.
bool ReserveBuffers(int threads);

}  // namespace nashswarm::blas

#endif  // NASHSWARM_CORE_BLAS_BLAS_H_

// Steps over the rows of a batch, cut by shape alone and shared by the threads of a pool.
#ifndef NASHSWARM_CORE_FORWARD_ROW_STEPS_H_
#define NASHSWARM_CORE_FORWARD_ROW_STEPS_H_

#include <cstdint>
#include <functional>

#include "core/base/thread_pool.h"
#include "core/forward/linear.h"
#include "core/forward/matrix.h"

namespace nashswarm::forward {

void ForRows(ThreadPool& pool, uint64_t rows, const std::function<void(uint64_t row, int thread)>& body);

// y = x W^T + b
void ProjectRows(ThreadPool& pool, const Matrix& matrix, Rows x, uint64_t rows, Rows y);
// c[rows x columns] = a[rows x inner] b[inner x columns] + beta * c. Nothing of b is written.
void MultiplyRows(ThreadPool& pool, Rows a, uint64_t rows, Rows b, uint64_t inner, uint64_t columns, float beta, Rows c);
// The gradient at x of ProjectRows from g, that at y: g W.
void ProjectBack(ThreadPool& pool, const Matrix& matrix, Rows g, uint64_t rows, Rows x);

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_ROW_STEPS_H_

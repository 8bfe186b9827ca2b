// Counts weights from many threads and tells the observer at most ten times a second.
#ifndef NASHSWARM_CORE_PIPELINE_PROGRESS_H_
#define NASHSWARM_CORE_PIPELINE_PROGRESS_H_

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

#include "core/pipeline/stages.h"

namespace nashswarm::pipeline {

class ProgressCounter {
 public:
  ProgressCounter(Observer* observer, uint64_t total) : observer_(observer), total_(total) {}

  void Add(uint64_t weights, const std::string& tensor) {
    std::lock_guard<std::mutex> lock(mutex_);
    done_ += weights;
    const auto now = std::chrono::steady_clock::now();
    if (done_ < total_ && now - last_ < std::chrono::milliseconds(100)) return;
    last_ = now;
    observer_->Progress(done_, total_, tensor);
  }

  void TensorDone(const std::string& tensor, const std::string& format, double bits_per_weight, double error) {
    std::lock_guard<std::mutex> lock(mutex_);
    observer_->TensorDone(tensor, format, bits_per_weight, error);
  }

 private:
  Observer* observer_;
  uint64_t total_;
  std::mutex mutex_;
  uint64_t done_ = 0;
  std::chrono::steady_clock::time_point last_{};
};

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_PROGRESS_H_

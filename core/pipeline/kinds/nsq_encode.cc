// ENCODE of an nsq artifact: the shard's streams, with steps scaled until they meet what the plan gave the shard.
#include <algorithm>
#include <cmath>

#include "core/artifact/nsq_artifact.h"
#include "core/base/parallel.h"
#include "core/base/status.h"
#include "core/coding/crc32.h"
#include "core/pipeline/kinds/block_chunk.h"
#include "core/pipeline/kinds/coded_tensor.h"
#include "core/pipeline/kinds/nsq_stages.h"
#include "core/pipeline/progress.h"
#include "core/pipeline/step_search.h"

namespace nashswarm::pipeline {
namespace {

// Within this share of the bytes it is enough; and so many tries are.
constexpr double kClose = 0.0003;
constexpr int kTries = 6;

struct Done {
  std::string bytes;                // of the tensor in the artifact
  double step = 0, distortion = 0, error = 0, energy = 0;
  uint32_t crc = 0;                 // of a plain tensor
};

class ShardEncoder {
 public:
  ShardEncoder(const Task& task, const StageInputs& in, TensorRange shard, const Plan& plan)
      : task_(task), in_(in), first_(shard.first), threads_(ResolveThreads(task.threads)), weights_(in.prepared.WeightsOf(shard)),
        best_(shard.size()) {
    for (size_t t = shard.first; t < shard.last; ++t) {
      choices_.push_back(plan.tensors[t].choice);
      if (IsCoded(in.prepared.tensors[t])) budget_ += plan.tensors[t].bytes;
    }
  }

  absl::Status Run() {
    for (size_t i = 0; i < best_.size(); ++i) {
      if (!IsCoded(in_.prepared.tensors[first_ + i])) best_[i] = EncodePlain(first_ + i);
    }
    if (budget_ == 0) return absl::OkStatus();
    StepSearch search(budget_, weights_, kClose, kTries);
    for (int attempt = 0; !search.done(); ++attempt) {
      NS_ASSIGN_OR_RETURN(std::vector<Done> made, EncodeAll(std::exp2(search.log_factor()), attempt));
      uint64_t bytes = 0;
      for (const Done& done : made) bytes += done.bytes.size();
      if (search.Took(bytes)) Keep(std::move(made));
    }
    return Spend(search.bytes());
  }

  absl::StatusOr<ShardIndex> Write(AtomicFile* file) {
    ShardIndex index;
    for (size_t i = 0; i < best_.size(); ++i) {
      const Done& done = best_[i];
      const PreparedTensor& tensor = in_.prepared.tensors[first_ + i];
      NS_RETURN_IF_ERROR(file->Append(done.bytes));
      index.tensors.push_back({first_ + i, done.bytes.size(), done.error, done.energy, EncodedStream{done.step, done.distortion, done.crc}});
      const double bits = 8.0 * static_cast<double>(done.bytes.size()) / static_cast<double>(std::max<uint64_t>(tensor.weights(), 1));
      task_.observer->TensorDone(tensor.source, choices_[i].name(), bits, done.energy > 0 ? done.error / done.energy : 0);
    }
    index.bytes = file->position();
    return index;
  }

 private:
  Done EncodePlain(size_t t) const {
    std::vector<float> values = ReadPlain(in_.source(t));
    if (task_.spec.zero_non_finite) ZeroNonFinite(absl::MakeSpan(values));
    Done done;
    done.bytes = artifact::PlainBytes(DTypeOf(in_.prepared.tensors[t].formats.at(0)), values);
    done.crc = coding::Crc32({reinterpret_cast<const uint8_t*>(done.bytes.data()), done.bytes.size()});
    for (const float value : values) done.energy += static_cast<double>(value) * value;
    return done;
  }

  absl::StatusOr<Done> EncodeCoded(size_t i, double step, int threads) const {
    nsq::Settings settings = task_.nsq_settings;
    settings.threads = threads;
    const auto coded = CodedTensor::Read(in_.source(first_ + i), in_.tied_head, in_.calibrated.moments.get(), 1, settings);
    Done done;
    done.step = static_cast<float>(step);
    NS_ASSIGN_OR_RETURN(CodedTensor::Encoded encoded, coded->Encode(done.step, threads));
    done.bytes = std::move(encoded.stream);
    done.distortion = encoded.distortion;
    done.error = encoded.error;
    done.energy = encoded.energy;
    return done;
  }

  absl::Status Spend(uint64_t bytes) {
    std::vector<Spender> spenders;
    for (size_t i = 0; i < best_.size(); ++i) {
      const PreparedTensor& tensor = in_.prepared.tensors[first_ + i];
      if (IsCoded(tensor)) spenders.push_back({i, tensor.weights(), best_[i].bytes.size(), best_[i].step});
    }
    Done made;
    const auto encode = [&](size_t i, double step) -> absl::StatusOr<uint64_t> {
      NS_ASSIGN_OR_RETURN(made, EncodeCoded(i, step, threads_));
      return made.bytes.size();
    };
    return SpendLeftover(budget_, bytes, kClose, std::move(spenders), encode, [&](size_t i, bool stays) {
      if (stays) best_[i] = std::move(made);
    });
  }

  // Every coded tensor of the shard, at its step times `factor`.
  absl::StatusOr<std::vector<Done>> EncodeAll(double factor, int attempt) {
    std::vector<Done> made(best_.size());
    ProgressCounter progress(task_.observer, weights_);
    const auto encode = [&](size_t i, int threads) -> absl::Status {
      const PreparedTensor& tensor = in_.prepared.tensors[first_ + i];
      if (!IsCoded(tensor)) return absl::OkStatus();
      NS_ASSIGN_OR_RETURN(made[i], EncodeCoded(i, choices_[i].step * factor, threads));
      progress.Add(tensor.weights(), attempt == 0 ? tensor.source : absl::StrCat(tensor.source, ", to size, pass ", attempt + 1));
      return absl::OkStatus();
    };
    std::vector<size_t> small;
    for (size_t i = 0; i < made.size(); ++i) {
      if (in_.prepared.tensors[first_ + i].weights() < kLargeWeights) small.push_back(i);
      else NS_RETURN_IF_ERROR(encode(i, threads_));
    }
    // The largest first, so that no thread is left with a large one at the end.
    std::stable_sort(small.begin(), small.end(), [this](size_t a, size_t b) {
      return in_.prepared.tensors[first_ + a].weights() > in_.prepared.tensors[first_ + b].weights();
    });
    NS_RETURN_IF_ERROR(ParallelFor(threads_, small.size(), [&](uint64_t s) { return encode(small[s], 1); }));
    return made;
  }

  void Keep(std::vector<Done> made) {
    for (size_t i = 0; i < made.size(); ++i) {
      if (IsCoded(in_.prepared.tensors[first_ + i])) best_[i] = std::move(made[i]);
    }
  }

  const Task& task_;
  const StageInputs& in_;
  size_t first_;
  int threads_;
  std::vector<Choice> choices_;  // the plan's
  uint64_t weights_, budget_ = 0;
  std::vector<Done> best_;
};

}  // namespace

absl::StatusOr<ShardIndex> EncodeNsq(const Task& task, const StageInputs& in, TensorRange shard, const Plan& plan, AtomicFile* file) {
  ShardEncoder encoder(task, in, shard, plan);
  NS_RETURN_IF_ERROR(encoder.Run());
  return encoder.Write(file);
}

}  // namespace nashswarm::pipeline

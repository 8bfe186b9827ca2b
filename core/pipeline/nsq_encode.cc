// ENCODE of an nsq artifact. What a stream takes is known only when it is there, so the shard's steps are scaled, all by the
// same factor, until the bytes meet what the plan gave the shard: to first order that keeps the equilibrium.
#include <algorithm>
#include <cmath>

#include "core/base/file.h"
#include "core/base/parallel.h"
#include "core/base/status.h"
#include "core/coding/crc32.h"
#include "core/pipeline/coded_tensor.h"
#include "core/pipeline/nsq_stages.h"
#include "core/pipeline/progress.h"

namespace nashswarm::pipeline {
namespace {

// Within this share of the bytes it is enough; and so many tries are.
constexpr double kClose = 0.0003;
constexpr int kTries = 6;
// A tensor strays no farther from its place in the equilibrium than this, in octaves of its step.
constexpr double kMostFiner = 0.25;
// A tensor of this many tiles gives every thread work by itself; smaller ones run side by side.
constexpr uint64_t kLargeWeights = 8u << 20;

struct Done {
  std::string bytes;                // of the tensor in the artifact
  double step = 0, distortion = 0, error = 0, energy = 0;
  uint32_t crc = 0;                 // of a plain tensor
};

class ShardEncoder {
 public:
  ShardEncoder(const Task& task, const NsqInputs& in, const Json& plan)
      : task_(task), in_(in), first_(in.prepared.shards.at(task.shard).first), last_(in.prepared.shards.at(task.shard).second),
        threads_(ResolveThreads(task.threads)), best_(last_ - first_) {
    for (size_t t = first_; t < last_; ++t) {
      steps_.push_back(plan.at("tensors").at(t).at("step").get<double>());
      if (in.prepared.tensors[t].is_coded()) budget_ += plan.at("tensors").at(t).at("bytes").get<uint64_t>();
      weights_ += in.prepared.tensors[t].weights();
    }
  }

  absl::Status Run() {
    for (size_t i = 0; i < best_.size(); ++i) {
      if (!in_.prepared.tensors[first_ + i].is_coded()) best_[i] = EncodePlain(first_ + i);
    }
    if (budget_ == 0) return absl::OkStatus();
    // Logarithms of the factor: `fine` took too many bytes, `coarse` fits.
    double fine = 0, coarse = 0, at = 0;
    uint64_t fine_bytes = 0, coarse_bytes = 0;
    for (int attempt = 0; attempt < kTries || coarse_bytes == 0; ++attempt) {
      NS_ASSIGN_OR_RETURN(std::vector<Done> made, EncodeAll(std::exp2(at), attempt));
      uint64_t bytes = 0;
      for (const Done& done : made) bytes += done.bytes.size();
      if (bytes <= budget_) {
        coarse = at;
        coarse_bytes = bytes;
        Keep(std::move(made));
        if (static_cast<double>(bytes) >= (1 - kClose) * static_cast<double>(budget_)) break;
      } else {
        fine = at;
        fine_bytes = bytes;
      }
      at = Next(at, bytes, fine, fine_bytes, coarse, coarse_bytes);
    }
    return SpendLeftover(coarse_bytes);
  }

  absl::StatusOr<Json> Write() {
    NS_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(JoinPath(task_.out_dir, absl::StrCat("shard-", task_.shard, ".bin"))));
    Json tensors = Json::array();
    for (size_t i = 0; i < best_.size(); ++i) {
      const Done& done = best_[i];
      const PreparedTensor& tensor = in_.prepared.tensors[first_ + i];
      NS_RETURN_IF_ERROR(file.Append(done.bytes));
      tensors.push_back({{"tensor", first_ + i}, {"bytes", done.bytes.size()}, {"step", done.step}, {"distortion", done.distortion},
                         {"error", done.error}, {"energy", done.energy}, {"crc32", done.crc}});
      const double bits = 8.0 * static_cast<double>(done.bytes.size()) / static_cast<double>(std::max<uint64_t>(tensor.weights(), 1));
      task_.observer->TensorDone(tensor.source, tensor.is_coded() ? "nsq" : std::string(quant::InfoOf(tensor.formats.at(0)).name), bits,
                                 done.energy > 0 ? done.error / done.energy : 0);
    }
    const uint64_t bytes = file.position();
    NS_RETURN_IF_ERROR(file.CommitUnsynced());
    NS_RETURN_IF_ERROR(WriteFileUnsynced(JoinPath(task_.out_dir, absl::StrCat("shard-", task_.shard, ".json")),
                                        Json{{"bytes", bytes}, {"tensors", std::move(tensors)}}.dump(1)));
    return Json{{"weights", weights_}, {"bytes", bytes}};
  }

 private:
  Done EncodePlain(size_t t) const {
    std::vector<float> values = ReadPlain(in_, t);
    if (task_.spec.zero_non_finite) {
      for (float& value : values) value = std::isfinite(value) ? value : 0.0f;
    }
    Done done;
    done.bytes = artifact::PlainBytes(IndexEntry(in_.prepared.tensors[t], in_.source(t)).plain_dtype, values);
    done.crc = coding::Crc32({reinterpret_cast<const uint8_t*>(done.bytes.data()), done.bytes.size()});
    for (const float value : values) done.energy += static_cast<double>(value) * value;
    return done;
  }

  absl::StatusOr<Done> EncodeCoded(size_t i, double step, int threads) const {
    nsq::Settings settings = in_.settings;
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

  // What the common factor could not meet, since bytes move in leaps: one tensor after another, the largest first, takes a
  // slightly finer step while that fits.
  absl::Status SpendLeftover(uint64_t bytes) {
    std::vector<size_t> order;
    for (size_t i = 0; i < best_.size(); ++i) {
      if (in_.prepared.tensors[first_ + i].is_coded()) order.push_back(i);
    }
    std::stable_sort(order.begin(), order.end(), [this](size_t a, size_t b) {
      return in_.prepared.tensors[first_ + a].weights() > in_.prepared.tensors[first_ + b].weights();
    });
    if (order.size() > kTries) order.resize(kTries);
    for (const size_t i : order) {
      const uint64_t leftover = budget_ - bytes;
      if (static_cast<double>(leftover) <= kClose * static_cast<double>(budget_)) break;
      // A bit a weight is an octave of the step; not all the way, since one byte too many is none at all.
      const double octaves = 8.0 * 0.9 * static_cast<double>(leftover) / static_cast<double>(in_.prepared.tensors[first_ + i].weights());
      NS_ASSIGN_OR_RETURN(Done done, EncodeCoded(i, best_[i].step * std::exp2(-std::min(octaves, kMostFiner)), threads_));
      const uint64_t after = bytes - best_[i].bytes.size() + done.bytes.size();
      if (after > budget_ || after <= bytes) continue;
      bytes = after;
      best_[i] = std::move(done);
    }
    return absl::OkStatus();
  }

  // Every coded tensor of the shard, at its step times `factor`.
  absl::StatusOr<std::vector<Done>> EncodeAll(double factor, int attempt) {
    std::vector<Done> made(best_.size());
    ProgressCounter progress(task_.observer, weights_);
    const auto encode = [&](size_t i, int threads) -> absl::Status {
      const PreparedTensor& tensor = in_.prepared.tensors[first_ + i];
      if (!tensor.is_coded()) return absl::OkStatus();
      NS_ASSIGN_OR_RETURN(made[i], EncodeCoded(i, steps_[i] * factor, threads));
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
      if (in_.prepared.tensors[first_ + i].is_coded()) best_[i] = std::move(made[i]);
    }
  }

  // Where to look next: a bit a weight is an octave of the step, about; between two measured points on the line through them.
  double Next(double at, uint64_t bytes, double fine, uint64_t fine_bytes, double coarse, uint64_t coarse_bytes) const {
    const double aim = (1 - kClose / 2) * static_cast<double>(budget_);
    if (fine_bytes > 0 && coarse_bytes > 0) {
      const double share = (static_cast<double>(fine_bytes) - aim) / static_cast<double>(fine_bytes - coarse_bytes);
      return fine + std::clamp(share, 0.02, 0.98) * (coarse - fine);
    }
    const double excess = 8.0 * (static_cast<double>(bytes) - aim) / static_cast<double>(weights_);
    return at + 1.1 * excess + (bytes > budget_ ? 0.0005 : -0.0005);
  }

  const Task& task_;
  const NsqInputs& in_;
  size_t first_, last_;
  int threads_;
  std::vector<double> steps_;
  uint64_t budget_ = 0, weights_ = 0;
  std::vector<Done> best_;
};

}  // namespace

absl::StatusOr<Json> EncodeNsq(const Task& task, const NsqInputs& in, const Json& plan) {
  ShardEncoder encoder(task, in, plan);
  NS_RETURN_IF_ERROR(encoder.Run());
  return encoder.Write();
}

}  // namespace nashswarm::pipeline

// Every metric nashswarmd exports, behind calls that say what happened. Names follow the Prometheus conventions
// (https://prometheus.io/docs/practices/naming) and, for RPCs, those of the gRPC ecosystem's server middleware, so
// that ready-made dashboards work.
#ifndef NASHSWARM_SERVER_METRICS_METRICS_H_
#define NASHSWARM_SERVER_METRICS_METRICS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "prometheus/collectable.h"
#include "prometheus/counter.h"
#include "prometheus/family.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"

namespace nashswarm::server {

// What is read from the store at scrape time, since other processes may change it too.
struct StateSample {
  std::map<std::string, int64_t> jobs;  // by state
  int64_t tasks_pending = 0, tasks_running = 0;
  double oldest_pending_seconds = 0;
  int64_t blobs = 0, blob_bytes = 0, models = 0, artifacts = 0, active_uploads = 0;
};

struct RpcLabels {
  std::string type, service, method;
};

// Thread-safe.
class Metrics {
 public:
  explicit Metrics(const std::string& version);

  void JobEnded(const std::string& state, double seconds);
  // `outcome`: succeeded, reused, failed, cancelled, released, fenced.
  void TaskEnded(const std::string& stage, const std::string& outcome, double seconds);
  // The worker vanished. `poison`: once too often, which failed the job.
  void TaskLost(const std::string& stage, bool poison);
  void TaskFailed(const std::string& stage, const std::string& reason);
  void TensorEncoded(const std::string& format);
  void WeightsProcessed(const std::string& stage, int64_t weights);
  void TokensProcessed(const std::string& stage, int64_t tokens);
  // The mean KL divergence of a succeeded job's artifact, in nats a token.
  void QualityMeasured(double mean_kl);
  void ModelCompressed(int64_t bytes_in, int64_t bytes_out);
  void SetWorkers(int workers);
  void WorkerBusy(int change);
  void SetTasksTooLarge(int64_t tasks);
  void BytesUploaded(int64_t bytes);
  void BytesDownloaded(int64_t bytes);
  void GarbageRemoved(int64_t blobs, int64_t bytes);
  void BlobDamaged();
  // A round of collection went through, whether or not it found any.
  void GarbageCollected();

  void AuthenticationFailed(const std::string& reason);
  void ConnectionOpened();
  // `reason`: limit, idle.
  void ConnectionRefused(const std::string& reason);

  void RpcStarted(const RpcLabels& rpc);
  void RpcHandled(const RpcLabels& rpc, const std::string& code, double seconds);
  void RpcMessageReceived(const RpcLabels& rpc);
  void RpcMessageSent(const RpcLabels& rpc);

  const std::shared_ptr<prometheus::Registry>& registry() const { return registry_; }

 private:
  using Counters = prometheus::Family<prometheus::Counter>;
  using Gauges = prometheus::Family<prometheus::Gauge>;
  using Histograms = prometheus::Family<prometheus::Histogram>;

  Counters& CounterFamily(const std::string& name, const std::string& help);
  Gauges& GaugeFamily(const std::string& name, const std::string& help);
  Histograms& HistogramFamily(const std::string& name, const std::string& help);

  std::shared_ptr<prometheus::Registry> registry_;
  Histograms& job_duration_;
  Histograms& task_duration_;
  Counters& tasks_;
  Counters& task_failures_;
  Counters& tensors_;
  Counters& weights_;
  Counters& tokens_;
  Histograms& mean_kl_;
  Counters& compressed_in_;
  Counters& compressed_out_;
  Gauges& workers_;
  Gauges& workers_busy_;
  Gauges& tasks_too_large_;
  Counters& uploaded_;
  Counters& downloaded_;
  Counters& garbage_blobs_;
  Counters& garbage_bytes_;
  Counters& damaged_blobs_;
  Gauges& garbage_collected_;
  Counters& auth_failures_;
  Counters& connections_;
  Counters& connections_refused_;
  Counters& rpc_started_;
  Counters& rpc_handled_;
  Histograms& rpc_seconds_;
  Counters& rpc_received_;
  Counters& rpc_sent_;
};

// Turns a StateSample into gauges at each scrape. `sample` may be called from any thread; when it returns false the
// gauges are left out of that scrape.
class StateCollector : public prometheus::Collectable {
 public:
  explicit StateCollector(std::function<bool(StateSample*)> sample) : sample_(std::move(sample)) {}
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  std::function<bool(StateSample*)> sample_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_METRICS_METRICS_H_

#include "server/metrics/metrics.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "prometheus/client_metric.h"
#include "prometheus/metric_family.h"

namespace nashswarm::server {
namespace {

// RPCs take from a millisecond (a look-up) to an hour (an upload, a watch).
const prometheus::Histogram::BucketBoundaries kRpcBuckets = {.001, .005, .01, .05, .1, .5, 1, 5, 30, 120, 600, 3600};
// Tasks and jobs: from a small test model to a large one.
const prometheus::Histogram::BucketBoundaries kWorkBuckets = {.05, .1, .5, 1, 5, 15, 60, 300, 900, 3600, 14400};

// Nats a token: below 1e-3 nobody sees a difference, above 1 the text is another one.
const prometheus::Histogram::BucketBoundaries kKlBuckets = {1e-4, 3e-4, .001, .003, .01, .03, .1, .3, 1, 3, 10};

// A label value comes from the engine: bound what it can be.
std::string SafeLabel(const std::string& value) {
  const bool plain = !value.empty() && value.size() <= 48 && std::all_of(value.begin(), value.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
  return plain ? value : "OTHER";
}

double UnixSeconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

prometheus::MetricFamily Gauge(const std::string& name, const std::string& help) {
  prometheus::MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = prometheus::MetricType::Gauge;
  return family;
}

void AddValue(prometheus::MetricFamily& family, double value, std::vector<prometheus::ClientMetric::Label> labels = {}) {
  prometheus::ClientMetric metric;
  metric.gauge.value = value;
  metric.label = std::move(labels);
  family.metric.push_back(std::move(metric));
}

}  // namespace

Metrics::Counters& Metrics::CounterFamily(const std::string& name, const std::string& help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(*registry_);
}
Metrics::Gauges& Metrics::GaugeFamily(const std::string& name, const std::string& help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(*registry_);
}
Metrics::Histograms& Metrics::HistogramFamily(const std::string& name, const std::string& help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(*registry_);
}

Metrics::Metrics(const std::string& version)
    : registry_(std::make_shared<prometheus::Registry>()),
      job_duration_(HistogramFamily("nashswarm_job_duration_seconds", "From creation to end, by final state.")),
      task_duration_(HistogramFamily("nashswarm_task_duration_seconds", "Of one attempt, by stage.")),
      tasks_(CounterFamily("nashswarm_tasks_total", "Attempts ended, by stage and outcome.")),
      task_failures_(CounterFamily("nashswarm_task_failures_total", "Failed attempts, by stage and reason.")),
      tensors_(CounterFamily("nashswarm_tensors_encoded_total", "Tensors written, by format.")),
      weights_(CounterFamily("nashswarm_weights_processed_total", "Weights the engine has worked on, by stage.")),
      tokens_(
          CounterFamily("nashswarm_tokens_processed_total", "Tokens the engine has run through a model, by stage.")),
      mean_kl_(HistogramFamily("nashswarm_job_mean_kl",
                               "Mean KL divergence of succeeded jobs that were measured, nats a token.")),
      compressed_in_(CounterFamily("nashswarm_compressed_input_bytes_total", "Weight bytes of succeeded jobs' models.")),
      compressed_out_(
          CounterFamily("nashswarm_compressed_output_bytes_total", "Weight bytes of succeeded jobs' artifacts.")),
      workers_(GaugeFamily("nashswarm_workers", "Tasks this process can run at a time.")),
      workers_busy_(GaugeFamily("nashswarm_workers_busy", "Tasks this process is running.")),
      tasks_too_large_(GaugeFamily("nashswarm_tasks_too_large",
                                   "Waiting tasks that need more memory or disk than this process has in all.")),
      uploaded_(CounterFamily("nashswarm_upload_bytes_total", "File bytes received.")),
      downloaded_(CounterFamily("nashswarm_download_bytes_total", "File bytes sent.")),
      garbage_blobs_(CounterFamily("nashswarm_garbage_blobs_total", "Blobs removed because nothing named them.")),
      garbage_bytes_(CounterFamily("nashswarm_garbage_bytes_total", "Bytes freed by removing blobs.")),
      damaged_blobs_(CounterFamily("nashswarm_damaged_blobs_total",
                                   "Blobs whose content was found damaged and set aside, or dropped from the cache.")),
      garbage_collected_(GaugeFamily("nashswarm_garbage_collected_timestamp_seconds",
                                     "When this process last went through all garbage; its start before that.")),
      auth_failures_(CounterFamily("nashswarm_auth_failures_total", "Calls refused for who made them, by reason.")),
      connections_(CounterFamily("nashswarm_connections_total", "Connections accepted.")),
      connections_refused_(CounterFamily("nashswarm_connections_refused_total",
                                         "Connections closed at --max-connections: new ones, or unused ones for them.")),
      rpc_started_(CounterFamily("grpc_server_started_total", "RPCs started on the server.")),
      rpc_handled_(CounterFamily("grpc_server_handled_total", "RPCs completed on the server, whatever the code.")),
      rpc_seconds_(HistogramFamily("grpc_server_handling_seconds", "Time an RPC took on the server.")),
      rpc_received_(CounterFamily("grpc_server_msg_received_total", "Messages received on the server.")),
      rpc_sent_(CounterFamily("grpc_server_msg_sent_total", "Messages sent by the server.")) {
  GaugeFamily("nashswarm_build_info", "Always 1; the labels say what runs.").Add({{"version", version}}).Set(1);
  GaugeFamily("process_start_time_seconds", "When the process started, seconds since 1970.").Add({}).Set(UnixSeconds());
  garbage_collected_.Add({}).Set(UnixSeconds());
  // Present from the start, so that rate() and increase() see the first increase.
  for (const char* state : {"SUCCEEDED", "FAILED", "CANCELLED"}) job_duration_.Add({{"state", state}}, kWorkBuckets);
  for (const char* reason : {"limit", "idle"}) connections_refused_.Add({{"reason", reason}});
  mean_kl_.Add({}, kKlBuckets);
  workers_busy_.Add({}).Set(0);
  tasks_too_large_.Add({}).Set(0);
  for (auto* family : {&compressed_in_, &compressed_out_, &uploaded_, &downloaded_, &garbage_blobs_, &garbage_bytes_,
                       &damaged_blobs_, &connections_}) {
    family->Add({});
  }
}

void Metrics::JobEnded(const std::string& state, double seconds) {
  job_duration_.Add({{"state", state}}, kWorkBuckets).Observe(seconds);
}
void Metrics::TaskEnded(const std::string& stage, const std::string& outcome, double seconds) {
  tasks_.Add({{"stage", stage}, {"outcome", outcome}}).Increment();
  task_duration_.Add({{"stage", stage}}, kWorkBuckets).Observe(seconds);
}
void Metrics::TaskLost(const std::string& stage, bool poison) {
  tasks_.Add({{"stage", stage}, {"outcome", "lost"}}).Increment();
  if (poison) TaskFailed(stage, "POISON");
}
void Metrics::TaskFailed(const std::string& stage, const std::string& reason) {
  task_failures_.Add({{"stage", stage}, {"reason", SafeLabel(reason)}}).Increment();
}
void Metrics::TensorEncoded(const std::string& format) {
  tensors_.Add({{"format", SafeLabel(format)}}).Increment();
}
void Metrics::WeightsProcessed(const std::string& stage, int64_t weights) {
  if (weights > 0) weights_.Add({{"stage", stage}}).Increment(static_cast<double>(weights));
}
void Metrics::TokensProcessed(const std::string& stage, int64_t tokens) {
  if (tokens > 0) tokens_.Add({{"stage", stage}}).Increment(static_cast<double>(tokens));
}
void Metrics::QualityMeasured(double mean_kl) {
  if (std::isfinite(mean_kl)) mean_kl_.Add({}, kKlBuckets).Observe(mean_kl);
}
void Metrics::ModelCompressed(int64_t bytes_in, int64_t bytes_out) {
  if (bytes_in > 0) compressed_in_.Add({}).Increment(static_cast<double>(bytes_in));
  if (bytes_out > 0) compressed_out_.Add({}).Increment(static_cast<double>(bytes_out));
}
void Metrics::SetWorkers(int workers) { workers_.Add({}).Set(workers); }
void Metrics::SetTasksTooLarge(int64_t tasks) { tasks_too_large_.Add({}).Set(static_cast<double>(tasks)); }
void Metrics::WorkerBusy(int change) { workers_busy_.Add({}).Increment(change); }
void Metrics::BytesUploaded(int64_t bytes) { uploaded_.Add({}).Increment(static_cast<double>(bytes)); }
void Metrics::BytesDownloaded(int64_t bytes) { downloaded_.Add({}).Increment(static_cast<double>(bytes)); }
void Metrics::GarbageRemoved(int64_t blobs, int64_t bytes) {
  garbage_blobs_.Add({}).Increment(static_cast<double>(blobs));
  garbage_bytes_.Add({}).Increment(static_cast<double>(bytes));
}
void Metrics::BlobDamaged() { damaged_blobs_.Add({}).Increment(); }
void Metrics::GarbageCollected() { garbage_collected_.Add({}).Set(UnixSeconds()); }
void Metrics::AuthenticationFailed(const std::string& reason) {
  auth_failures_.Add({{"reason", SafeLabel(reason)}}).Increment();
}
void Metrics::ConnectionOpened() { connections_.Add({}).Increment(); }
void Metrics::ConnectionRefused(const std::string& reason) { connections_refused_.Add({{"reason", reason}}).Increment(); }

namespace {
prometheus::Labels ToLabels(const RpcLabels& rpc) {
  return {{"grpc_type", rpc.type}, {"grpc_service", rpc.service}, {"grpc_method", rpc.method}};
}
}  // namespace

void Metrics::RpcStarted(const RpcLabels& rpc) { rpc_started_.Add(ToLabels(rpc)).Increment(); }
void Metrics::RpcHandled(const RpcLabels& rpc, const std::string& code, double seconds) {
  prometheus::Labels labels = ToLabels(rpc);
  rpc_seconds_.Add(labels, kRpcBuckets).Observe(seconds);
  labels.emplace("grpc_code", code);
  rpc_handled_.Add(labels).Increment();
}
void Metrics::RpcMessageReceived(const RpcLabels& rpc) { rpc_received_.Add(ToLabels(rpc)).Increment(); }
void Metrics::RpcMessageSent(const RpcLabels& rpc) { rpc_sent_.Add(ToLabels(rpc)).Increment(); }

std::vector<prometheus::MetricFamily> StateCollector::Collect() const {
  StateSample sample;
  if (!sample_(&sample)) return {};
  std::vector<prometheus::MetricFamily> families;
  families.push_back(Gauge("nashswarm_jobs", "Jobs in the store, by state."));
  for (const auto& [state, count] : sample.jobs) {
    AddValue(families.back(), static_cast<double>(count), {{"state", state}});
  }
  const auto add = [&](const char* name, const char* help, double value) {
    families.push_back(Gauge(name, help));
    AddValue(families.back(), value);
  };
  add("nashswarm_queue_depth", "Tasks waiting for a worker.", static_cast<double>(sample.tasks_pending));
  add("nashswarm_queue_oldest_seconds", "How long the longest-waiting task could have run.",
      sample.oldest_pending_seconds);
  add("nashswarm_tasks_running", "Leased tasks, of every process.", static_cast<double>(sample.tasks_running));
  add("nashswarm_blobs", "Blobs in the store.", static_cast<double>(sample.blobs));
  add("nashswarm_blob_store_bytes", "Bytes of the blobs in the store.", static_cast<double>(sample.blob_bytes));
  add("nashswarm_models", "Models in the store.", static_cast<double>(sample.models));
  add("nashswarm_artifacts", "Artifacts in the store.", static_cast<double>(sample.artifacts));
  add("nashswarm_uploads_active", "Uploads that have not ended.", static_cast<double>(sample.active_uploads));
  return families;
}

}  // namespace nashswarm::server

#include "server/daemon/daemon.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/parallel.h"
#include "core/base/status.h"
#include "server/daemon/stores.h"
#include "server/log/log.h"
#include "server/scheduler/machine.h"
#include "server/scheduler/only_results.h"
#include "server/store/error_proto.h"
#include "server/store/ids.h"

namespace nashswarm::server {
namespace {

// The engine's kernels use every core of a task's share; a task on fewer than this gains little from company.
constexpr int kCoresPerWorker = 4;
// How often the stores are asked whether they answer, and how old an answer may be.
constexpr std::chrono::seconds kCheckInterval{5}, kStaleAfter{20};

absl::StatusOr<std::string> FindEngine(const std::string& configured) {
  std::string engine = configured;
  std::error_code error;
  if (engine.empty()) {
    const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
    if (error) return ErrnoError(error.value(), "/proc/self/exe");
    engine = (self.parent_path() / "nashswarm-engine").string();
  }
  engine = std::filesystem::absolute(engine, error).string();
  if (access(engine.c_str(), X_OK) == 0 && !IsDirectory(engine)) return engine;
  return MakeError(absl::StatusCode::kNotFound, "ENGINE_NOT_FOUND", absl::StrCat("no program ", engine),
                   "install nashswarm-engine beside nashswarmd, or name it with --engine");
}

}  // namespace

Daemon::Daemon(const ServerConfig& config)
    : config_(config), metrics_(NASHSWARM_VERSION), streams_(config.limits.max_streams) {}

Daemon::~Daemon() { Stop(); }

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(const ServerConfig& config) {
  std::unique_ptr<Daemon> daemon(new Daemon(config));
  NS_RETURN_IF_ERROR(daemon->OpenStores());
  NS_RETURN_IF_ERROR(daemon->StartWork());
  NS_RETURN_IF_ERROR(daemon->StartListeners());
  NS_RETURN_IF_ERROR(daemon->WriteInfoFile());
  return daemon;
}

absl::Status Daemon::OpenStores() {
  NS_ASSIGN_OR_RETURN(access_, Access::Open(config_.access));
  NS_ASSIGN_OR_RETURN(directory_, DataDirectory::Open(config_.data));
  HideDirectories(DirectoriesOf(config_, *directory_));
  // First of all: on a full disk it makes room for the others.
  NS_ASSIGN_OR_RETURN(store_, OpenStore(config_, *directory_));
  NS_ASSIGN_OR_RETURN(room_, OpenDiskRoom(config_, *directory_));
  NS_ASSIGN_OR_RETURN(blobs_, OpenBlobStore(config_, *directory_, room_.get()));
  blobs_->OnDamage([this](const BlobDamage& damage) {
    metrics_.BlobDamaged();
    Log(LogLevel::kError, "a stored blob is damaged", {{"error", damage.found}, {"kept_at", damage.kept_at}});
  });
  if (IsPostgres(config_.jobs)) relay_ = std::make_unique<PostgresRelay>(config_.jobs, &hub_);
  return absl::OkStatus();
}

absl::Status Daemon::StartWork() {
  NS_ASSIGN_OR_RETURN(const std::string engine, FindEngine(config_.engine));
  const int cores = ResolveThreads(0);
  if (config_.workers == 0) config_.workers = std::max(1, cores / kCoresPerWorker);
  WorkerOptions options;
  options.work_root = directory_->work();
  NS_ASSIGN_OR_RETURN(options.engine_digest, Sha256OfFile(engine));
  options.threads = std::max(1, cores / config_.workers);
  options.lease = config_.limits.lease;
  options.engine_memory_bytes = config_.memory_bytes > 0 ? config_.memory_bytes : UsableMemory();
  options.heartbeat = config_.heartbeat;
  options.backoff = config_.retry_backoff;
  options.max_losses = config_.maintenance.max_losses = config_.max_losses;
  options.task_timeout = std::chrono::ceil<std::chrono::seconds>(config_.task_timeout);
  engine_ = std::make_unique<EngineRunner>(engine);
  NS_ASSIGN_OR_RETURN(description_, engine_->Describe());
  NS_RETURN_IF_ERROR(CheckEngine(description_, NASHSWARM_VERSION));
  runner_ = std::make_unique<TaskRunner>(store_.get(), blobs_.get(), engine_.get(), &hub_, &metrics_, options);
  maintenance_ =
      std::make_unique<Maintenance>(store_.get(), blobs_.get(), &hub_, &metrics_, config_.maintenance);
  if (config_.only_results_bytes > 0) NS_RETURN_IF_ERROR(KeepOnlyResults());
  if (config_.jobs.empty()) {
    // The database is in our data directory and its lock is ours, so whoever held a lease is dead.
    NS_ASSIGN_OR_RETURN(const std::vector<LostTask> lost, store_->ReapEveryLease(config_.max_losses));
    maintenance_->NoteLost(lost);
  }
  char host[256] = "localhost";
  gethostname(host, sizeof(host) - 1);
  NS_ASSIGN_OR_RETURN(const int64_t now_us, store_->NowMicros());
  SchedulerOptions schedule;
  schedule.process_id = absl::StrCat(host, "/", NewId(now_us));
  schedule.lease = options.lease;
  schedule.work_root = options.work_root;
  schedule.memory_bytes = options.engine_memory_bytes;
  schedule.disk_reserve_bytes = DiskReserve(config_, options.work_root);
  schedule.max_running_jobs = [this](const std::string& tenant) { return access_->QuotaOf(tenant).max_running_jobs; };
  scheduler_ = std::make_unique<Scheduler>(store_.get(), runner_.get(), &hub_, &metrics_, schedule);
  return absl::OkStatus();
}

absl::Status Daemon::StartListeners() {
  context_ = {.blobs = blobs_.get(),
              .room = room_.get(),
              .hub = &hub_,
              .metrics = &metrics_,
              .runner = runner_.get(),
              .maintenance = maintenance_.get(),
              .streams = &streams_,
              .access = access_.get(),
              .watchdog = &watchdog_,
              .limits = config_.limits,
              .workers = config_.workers,
              .version = NASHSWARM_VERSION,
              .engine = description_};
  if (config_.metrics != "none") {
    state_collector_ = std::make_shared<StateCollector>([this](StateSample* sample) { return Sample(sample); });
    readiness_ = std::make_unique<Readiness>([this] { return CheckStores(); }, kCheckInterval, kStaleAfter);
    NS_ASSIGN_OR_RETURN(admin_server_, StartAdminServer(config_.metrics, {metrics_.registry(), state_collector_},
                                                         [this] { return readiness_->Now(); }));
  }
  ListenOptions listen{.address = config_.listen,
                       .serve_api = config_.role != Role::kWorker,
                       .reflection = config_.reflection || !config_.access.required(),
                       .max_connections = config_.max_connections,
                       .max_connection_idle = config_.max_connection_idle};
  if (config_.tls.enabled()) {
    NS_ASSIGN_OR_RETURN(listen.tls, TlsFiles::Open(config_.tls));
  }
  NS_ASSIGN_OR_RETURN(grpc_server_, GrpcServer::Start(listen, &context_, store_.get()));
  maintenance_->Start();
  if (config_.role != Role::kApi) scheduler_->Start(config_.workers);
  SetReady(true);
  Log(LogLevel::kInfo, "serving",
      {{"grpc", grpc_server_->address()}, {"metrics", admin_server_ ? admin_server_->address() : "none"},
       {"tls", config_.tls.enabled()}, {"authentication", config_.access.required()},
       {"workers", config_.workers}, {"data", config_.data}, {"version", NASHSWARM_VERSION}});
  return absl::OkStatus();
}

absl::Status Daemon::WriteInfoFile() {
  if (config_.info_file.empty()) return absl::OkStatus();
  OrderedJson info;
  info["grpc"] = grpc_server_->address();
  info["metrics"] = admin_server_ ? admin_server_->address() : "none";
  info["pid"] = getpid();
  info["version"] = NASHSWARM_VERSION;
  return WriteFileDurably(config_.info_file, info.dump(2) + "\n");
}

void Daemon::SetReady(bool ready) {
  if (grpc_server_) grpc_server_->SetReady(ready);
  if (readiness_) readiness_->SetServing(ready);
}

absl::Status Daemon::CheckStores() {
  NS_RETURN_IF_ERROR(store_->NowMicros().status());
  return blobs_->Has(std::string(32, '\0')).status();
}

bool Daemon::Sample(StateSample* sample) {
  const absl::StatusOr<StoreStatistics> statistics = store_->Statistics();
  if (!statistics.ok()) return false;
  for (int state = v1::Job::QUEUED; state <= v1::Job::CANCELLED; ++state) {
    std::string name = v1::Job::State_Name(static_cast<v1::Job::State>(state));
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    const auto it = statistics->jobs.find(static_cast<v1::Job::State>(state));
    sample->jobs[name] = it == statistics->jobs.end() ? 0 : it->second;
  }
  sample->tasks_pending = statistics->tasks_pending;
  sample->tasks_running = statistics->tasks_running;
  sample->oldest_pending_seconds = static_cast<double>(statistics->oldest_pending_us) / 1e6;
  sample->blobs = statistics->blobs;
  sample->blob_bytes = statistics->blob_bytes;
  sample->models = statistics->models;
  sample->artifacts = statistics->artifacts;
  sample->active_uploads = statistics->active_uploads;
  return true;
}

absl::Status Daemon::KeepOnlyResults() {
  return server::KeepOnlyResults(*store_, *blobs_, config_.only_results_bytes);
}

void Daemon::Stop() {
  if (stopped_) return;
  stopped_ = true;
  SetReady(false);
  if (maintenance_) maintenance_->EndSoon();
  if (scheduler_) scheduler_->Stop();
  if (grpc_server_) std::this_thread::sleep_for(config_.drain_delay);
  hub_.Drain();
  if (grpc_server_) grpc_server_->Stop(config_.drain_timeout);
  if (maintenance_) maintenance_->Stop();
  // Of a server that is killed before this, the next one at its start.
  if (config_.only_results_bytes > 0 && grpc_server_) {
    if (const absl::Status kept = KeepOnlyResults(); !kept.ok()) {
      Log(LogLevel::kWarning, "content stays until the next start", {{"error", std::string(kept.message())}});
    }
  }
  if (!config_.info_file.empty() && grpc_server_) unlink(config_.info_file.c_str());
}

}  // namespace nashswarm::server

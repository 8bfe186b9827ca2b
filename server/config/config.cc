#include "server/config/config.h"

#include <algorithm>
#include <map>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "server/config/access_flags.h"

namespace nashswarm::server {
namespace {

using std::chrono::milliseconds;

constexpr int kUsageError = 2;

// A duration flag: "500ms", "15s", "24h".
CLI::Option* AddDuration(CLI::App& app, const std::string& name, milliseconds* value, const std::string& help) {
  return app
      .add_option_function<std::string>(
          name,
          [name, value](const std::string& text) {
            absl::Duration duration;
            if (!absl::ParseDuration(text, &duration) || duration < absl::ZeroDuration() ||
                duration > absl::Hours(24 * 3650)) {
              throw CLI::ValidationError(name, "'" + text + "' is not a duration such as 500ms, 15s or 24h");
            }
            *value = milliseconds(absl::ToInt64Milliseconds(duration));
          },
          help)
      ->type_name("DURATION")
      ->default_str(absl::FormatDuration(absl::Milliseconds(value->count())));
}

template <typename T>
CLI::Option* AddSize(CLI::App& app, const std::string& name, T* value, const std::string& help) {
  return app.add_option(name, *value, help)
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false))
      ->check(CLI::PositiveNumber)
      ->type_name("BYTES")
      ->capture_default_str();
}

CLI::Option* AddCount(CLI::App& app, const std::string& name, int* value, const std::string& help) {
  return app.add_option(name, *value, help)->check(CLI::Range(1, 1000000))->capture_default_str();
}

void AddBasics(CLI::App& app, ServerConfig* config) {
  app.add_option("--data", config->data,
                 "Directory of this process: work in progress, and the database and blobs unless they are elsewhere")
      ->required();
  app.add_option("--jobs", config->jobs,
                 "Where jobs are kept: sqlite:PATH, or postgres://USER@HOST/DATABASE for many replicas (password: "
                 "PGPASSWORD or PGPASSFILE, never here; sslmode and the like as libpq has them). Default: in --data");
  app.add_option("--blobs", config->blobs,
                 "Where content is kept: file:DIRECTORY, or s3://BUCKET/PREFIX?endpoint=https://HOST&region=NAME "
                 "(credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials). Default: in "
                 "--data");
  app.add_option("--database-connections", config->database_connections, "Most connections to PostgreSQL")
      ->check(CLI::Range(2, 1000))
      ->capture_default_str();
  app.add_option_function<std::string>(
         "--role",
         [config](const std::string& text) {
           config->role = text == "api" ? Role::kApi : text == "worker" ? Role::kWorker : Role::kAll;
         },
         "api serves clients, worker runs tasks, all does both. Several processes share one --jobs and --blobs")
      ->check(CLI::IsMember({"api", "worker", "all"}))
      ->default_str("all");
  app.add_option("--listen", config->listen, "gRPC address: HOST:PORT (port 0 picks one) or unix:/path.sock")
      ->capture_default_str();
  app.add_option("--metrics", config->metrics, "Prometheus /metrics address: HOST:PORT (port 0 picks one) or none")
      ->capture_default_str();
  app.add_option("--info-file", config->info_file, "Write the bound addresses here, as JSON, once serving");
  app.add_option("--engine", config->engine, "The nashswarm-engine program (default: beside nashswarmd)");
  app.add_option("--workers", config->workers, "Tasks to run at a time; 0: one for every 4 cores, at least 1")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_option("--memory", config->memory_bytes,
                 "Memory for running tasks; a task that needs more than is free waits. 0: four fifths of the machine's "
                 "or container's")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false))
      ->check(CLI::NonNegativeNumber)
      ->type_name("BYTES")
      ->capture_default_str();
  app.add_option("--disk-reserve", config->disk_reserve_bytes,
                 "Disk space to leave free: a task that would need it waits, an upload is refused. Default: 1 GiB, or a tenth "
                 "of a smaller disk")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false))
      ->check(CLI::NonNegativeNumber)
      ->type_name("BYTES");
  app.add_option("--keep-only-results", config->only_results_bytes,
                 "Start and stop with nothing in --data but results of stages for other jobs to use, the last used, at most so "
                 "many bytes; every model, job and artifact is deleted. 0: off. For a server that is one program's cache")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false))
      ->check(CLI::NonNegativeNumber)
      ->type_name("BYTES")
      ->capture_default_str();
  app.add_option_function<std::string>(
         "--log-format",
         [config](const std::string& text) {
           config->log_format = text == "text" ? LogFormat::kText : LogFormat::kJson;
         },
         "json or text")
      ->check(CLI::IsMember({"json", "text"}))
      ->default_str("json");
  app.add_option_function<std::string>(
         "--log-level",
         [config](const std::string& text) {
           static const std::map<std::string, LogLevel> kLevels = {{"debug", LogLevel::kDebug},
                                                                   {"info", LogLevel::kInfo},
                                                                   {"warning", LogLevel::kWarning},
                                                                   {"error", LogLevel::kError}};
           config->log_level = kLevels.at(text);
         },
         "debug, info, warning or error")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->default_str("info");
}

void AddLimits(CLI::App& app, ServerConfig* config) {
  Limits& limits = config->limits;
  AddSize(app, "--max-chunk", &limits.max_chunk_bytes, "Largest chunk of an upload")
      ->check(CLI::Range(int64_t{1024}, int64_t{64} << 20));
  AddSize(app, "--max-file", &limits.max_file_bytes, "Largest file of a model");
  AddSize(app, "--max-upload", &limits.max_upload_bytes, "Largest model");
  AddCount(app, "--max-files", &limits.max_files_per_upload, "Most files of a model");
  AddCount(app, "--max-queued-jobs", &limits.max_queued_jobs, "Most jobs waiting to start");
  AddCount(app, "--max-attempts", &limits.max_attempts, "Attempts of one task before its job fails");
  AddCount(app, "--max-losses", &config->max_losses,
           "A task whose worker vanished or whose engine crashed so often fails its job as POISON");
  AddCount(app, "--max-streams", &limits.max_streams, "Most uploads, downloads and watches at a time");
  AddSize(app, "--cache", &config->cache_bytes, "Copies of content in S3 to keep in --data");
  AddSize(app, "--upload-part", &limits.upload_part_bytes, "Received bytes become durable this often");
  AddDuration(app, "--upload-idle-timeout", &limits.upload_idle_timeout,
              "An upload that sends nothing this long ends, and can go on later; 0s: never");
  app.add_option("--min-upload-rate", limits.min_upload_rate,
                 "So does one that sends fewer bytes a second, averaged over a minute; 0: none")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false))
      ->check(CLI::NonNegativeNumber)
      ->type_name("BYTES")
      ->capture_default_str();
  AddDuration(app, "--download-idle-timeout", &limits.download_idle_timeout,
              "A download or watch that takes nothing this long ends; 0s: never");
  app.add_option("--max-connections", config->max_connections,
                 "Most connections at a time; 0: half of the limit on open files, at most 10000")
      ->check(CLI::Range(0, 1000000))
      ->capture_default_str();
  AddDuration(app, "--max-connection-idle", &config->max_connection_idle,
              "A connection without calls is closed after this; 0s: never");
  AddDuration(app, "--upload-ttl", &limits.upload_ttl, "An upload without progress expires after this");
  AddDuration(app, "--lease", &limits.lease, "A task whose worker is silent this long goes to another");
  AddDuration(app, "--heartbeat", &config->heartbeat, "How often a worker renews its lease");
  AddDuration(app, "--keepalive", &limits.keepalive, "A watch is silent at most this long");
  AddDuration(app, "--retry-backoff", &config->retry_backoff, "Pause before a failed task's second attempt; doubles");
  AddDuration(app, "--task-timeout", &config->task_timeout, "Longest time of one attempt; 0s: no limit");
  AddDuration(app, "--drain-delay", &config->drain_delay,
              "When stopping, go on serving this long, not ready, so that balancers send clients elsewhere");
  AddDuration(app, "--drain-timeout", &config->drain_timeout, "Time for calls to end when the server stops");
  AddDuration(app, "--gc-interval", &config->maintenance.gc_interval, "How often unused content is looked for");
  AddDuration(app, "--gc-grace", &config->maintenance.gc_grace, "Unused content stays at least this long");
  AddDuration(app, "--cache-ttl", &config->maintenance.task_result_age,
              "Measured curves and plans are kept for other jobs this long after their last use");
}

// "--gc-grace" -> "NASHSWARM_GC_GRACE".
std::string VariableOf(const std::string& long_name) {
  std::string name = absl::StrReplaceAll(long_name, {{"-", "_"}});
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::toupper(c); });
  return absl::StrCat("NASHSWARM_", name);
}

// CLI11 lets a configuration file win over the environment. Ours is the other way round, so the environment is put in
// front of the flags, as flags, where no flag says the same.
std::vector<std::string> WithEnvironment(const CLI::App& app, const std::vector<std::string>& arguments,
                                         const std::function<const char*(const char*)>& environment) {
  std::vector<std::string> all;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      if (name == "help" || name == "version") continue;
      const char* value = environment(VariableOf(name).c_str());
      const std::string flag = "--" + name;
      const bool given = std::any_of(arguments.begin(), arguments.end(), [&](const std::string& argument) {
        return argument == flag || argument.starts_with(flag + "=");
      });
      if (value != nullptr && *value != '\0' && !given) all.push_back(absl::StrCat(flag, "=", value));
    }
  }
  all.insert(all.end(), arguments.begin(), arguments.end());
  return all;
}

// Whether a postgres:// URL holds a password: "user:password@", or a parameter.
bool HasPassword(std::string_view url) {
  const size_t query = std::min(url.find('?'), url.size());
  const std::string_view place = url.substr(0, query);
  const size_t user = place.find("://");
  const size_t at = place.rfind('@');  // the last: a password may hold one that should have been escaped
  if (user != place.npos && at != place.npos && place.substr(0, at).find(':', user + 3) != place.npos) return true;
  const std::vector<std::string> parameters =
      absl::StrSplit(std::string(url.substr(query)), absl::ByAnyChar("?&"));
  for (const std::string& parameter : parameters) {
    if (parameter.starts_with("password=") || parameter.starts_with("sslpassword=")) return true;
  }
  return false;
}

// Secrets that process lists show; the environment and the configuration file are the user's alone.
std::string CheckSecrets(const std::vector<std::string>& arguments) {
  constexpr std::string_view kFlag = "--jobs";
  for (size_t i = 0; i < arguments.size(); ++i) {
    std::string_view value = arguments[i];
    if (value == kFlag && i + 1 < arguments.size()) {
      value = arguments[i + 1];
    } else if (value.starts_with("--jobs=")) {
      value.remove_prefix(kFlag.size() + 1);
    } else {
      continue;
    }
    if (!HasPassword(value)) continue;
    return "--jobs: everybody on this machine can see a password that is given on the command line.\n"
           "Leave it out and set PGPASSWORD or PGPASSFILE, or put the whole address into NASHSWARM_JOBS, in the "
           "environment; then change the password";
  }
  return "";
}

ParsedCommandLine UsageError(const std::string& problem) {
  ParsedCommandLine parsed;
  parsed.exit_status = kUsageError;
  parsed.text = absl::StrCat("nashswarmd: ", problem, "\n");
  return parsed;
}

// A name of a store that cannot be one. It is not shown: it may hold a password.
std::string CheckStores(const ServerConfig& config) {
  const std::string& jobs = config.jobs;
  if (!jobs.empty() && !jobs.starts_with("sqlite:") && !IsPostgres(jobs)) {
    return "--jobs must be sqlite:PATH or postgres://USER@HOST/DATABASE";
  }
  if (!config.blobs.empty() && !config.blobs.starts_with("file:") && !config.blobs.starts_with("s3://")) {
    return "--blobs must be file:DIRECTORY or s3://BUCKET";
  }
  if (config.role != Role::kAll && (jobs.empty() || config.blobs.empty())) {
    return "--role api and worker need --jobs and --blobs that they can share; --data is of one process alone";
  }
  return "";
}

std::string CheckTogether(const ServerConfig& config) {
  if (config.heartbeat * 2 > config.limits.lease) return "--heartbeat must be at most half of --lease";
  if (config.heartbeat.count() == 0) return "--heartbeat must not be 0";
  if (config.maintenance.gc_interval.count() == 0) return "--gc-interval must not be 0";
  if (const std::string problem = CheckStores(config); !problem.empty()) return problem;
  if (config.only_results_bytes > 0 && !(config.jobs.empty() && config.blobs.empty())) {
    return "--keep-only-results deletes what others may have stored: it needs the stores in --data, without --jobs and --blobs";
  }
  return CheckAccessFlags(config);
}

}  // namespace

bool IsPostgres(const std::string& jobs) {
  return jobs.starts_with("postgres://") || jobs.starts_with("postgresql://");
}

bool IsLocalAddress(const std::string& listen) {
  if (listen.starts_with("unix:")) return true;
  const size_t colon = listen.rfind(':');
  std::string host = listen.substr(0, colon);
  if (host.starts_with("[") && host.ends_with("]")) host = host.substr(1, host.size() - 2);
  if (host == "localhost" || host == "::1") return true;
  // Exactly four numbers: "127.evil.example" is a name somebody else controls.
  if (!host.starts_with("127.")) return false;
  return std::count(host.begin(), host.end(), '.') == 3 &&
         std::all_of(host.begin(), host.end(), [](char c) { return c == '.' || (c >= '0' && c <= '9'); });
}

ParsedCommandLine ParseCommandLine(const std::vector<std::string>& arguments,
                                   const std::function<const char*(const char*)>& environment) {
  ParsedCommandLine parsed;
  CLI::App app("nashswarmd: the nashswarm server. Compresses LLM checkpoints; clients talk to it over gRPC.",
               "nashswarmd");
  app.set_version_flag("--version", "nashswarmd " NASHSWARM_VERSION);
  app.set_config("--config", "", "Read settings from this file (TOML or INI)");
  app.footer("Every flag can also be set by environment: --gc-grace by NASHSWARM_GC_GRACE, and so on.\n"
             "Flags win over the environment, the environment over the file.\n"
             "Tokens for --tokens are made by: nashswarmd token --help");
  AddBasics(app, &parsed.config);
  AddAccessFlags(app, &parsed.config);
  AddLimits(app, &parsed.config);
  if (const std::string problem = CheckSecrets(arguments); !problem.empty()) return UsageError(problem);
  std::vector<std::string> all = WithEnvironment(app, arguments, environment);
  std::reverse(all.begin(), all.end());  // CLI11 takes them from the back
  try {
    app.parse(all);
  } catch (const CLI::CallForHelp&) {
    parsed.text = app.help();
    return parsed;
  } catch (const CLI::CallForVersion&) {
    parsed.text = "nashswarmd " NASHSWARM_VERSION "\n";
    return parsed;
  } catch (const CLI::ParseError& error) {
    return UsageError(absl::StrCat(error.what(), "\nRun nashswarmd --help for the flags."));
  }
  if (const std::string problem = CheckTogether(parsed.config); !problem.empty()) return UsageError(problem);
  parsed.run = true;
  return parsed;
}

}  // namespace nashswarm::server

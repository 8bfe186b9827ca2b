#include "server/config/config.h"

#include <algorithm>
#include <map>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"

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
  app.add_option("--data", config->data, "Directory that holds everything: database, blobs, work in progress")
      ->required();
  app.add_option("--listen", config->listen, "gRPC address: HOST:PORT (port 0 picks one) or unix:/path.sock")
      ->capture_default_str();
  app.add_option("--metrics", config->metrics, "Prometheus /metrics address: HOST:PORT (port 0 picks one) or none")
      ->capture_default_str();
  app.add_option("--info-file", config->info_file, "Write the bound addresses here, as JSON, once serving");
  app.add_option("--engine", config->engine, "The nashswarm-engine program (default: beside nashswarmd)");
  app.add_option("--workers", config->workers, "Tasks to run at a time; 0: one for every 4 cores, at least 1")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_flag("--insecure-listen-anywhere", config->insecure_listen_anywhere,
               "Allow --listen on an address that other machines reach. This server neither encrypts nor asks who is "
               "calling: without a private network or a proxy that does, anybody can read and delete every model");
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
  AddCount(app, "--max-streams", &limits.max_streams, "Most uploads, downloads and watches at a time");
  AddSize(app, "--upload-part", &limits.upload_part_bytes, "Received bytes become durable this often");
  AddDuration(app, "--upload-ttl", &limits.upload_ttl, "An upload without progress expires after this");
  AddDuration(app, "--lease", &limits.lease, "A task whose worker is silent this long goes to another");
  AddDuration(app, "--heartbeat", &config->heartbeat, "How often a worker renews its lease");
  AddDuration(app, "--keepalive", &limits.keepalive, "A watch is silent at most this long");
  AddDuration(app, "--retry-backoff", &config->retry_backoff, "Pause before a failed task's second attempt; doubles");
  AddDuration(app, "--task-timeout", &config->task_timeout, "Longest time of one attempt; 0s: no limit");
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

std::string CheckTogether(const ServerConfig& config) {
  if (config.heartbeat * 2 > config.limits.lease) return "--heartbeat must be at most half of --lease";
  if (config.heartbeat.count() == 0) return "--heartbeat must not be 0";
  if (config.maintenance.gc_interval.count() == 0) return "--gc-interval must not be 0";
  if (!config.insecure_listen_anywhere && !IsLocalAddress(config.listen)) {
    return absl::StrCat("--listen ", config.listen,
                        ": other machines could connect, and this server neither encrypts nor asks who is calling.\n"
                        "Listen on 127.0.0.1 or unix:/path.sock, or, on a private network, add "
                        "--insecure-listen-anywhere");
  }
  return "";
}

}  // namespace

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
             "Flags win over the environment, the environment over the file.");
  AddBasics(app, &parsed.config);
  AddLimits(app, &parsed.config);
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
    parsed.exit_status = kUsageError;
    parsed.text = absl::StrCat("nashswarmd: ", error.what(), "\nRun nashswarmd --help for the flags.\n");
    return parsed;
  }
  if (const std::string problem = CheckTogether(parsed.config); !problem.empty()) {
    parsed.exit_status = kUsageError;
    parsed.text = absl::StrCat("nashswarmd: ", problem, "\n");
    return parsed;
  }
  parsed.run = true;
  return parsed;
}

}  // namespace nashswarm::server

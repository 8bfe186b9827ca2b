#include "server/log/log.h"

#include <chrono>
#include <ctime>

#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace nashswarm::server {
namespace {

using nlohmann::json;

LogFormat g_format = LogFormat::kJson;

constexpr std::string_view kLevelNames[] = {"debug", "info", "warning", "error"};
constexpr spdlog::level::level_enum kSpdlogLevels[] = {spdlog::level::debug, spdlog::level::info, spdlog::level::warn,
                                                       spdlog::level::err};

spdlog::logger& Logger() {
  static const auto logger = [] {
    auto created = std::make_shared<spdlog::logger>("nashswarmd", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    created->set_pattern("%v");  // the whole line is composed here
    created->set_level(spdlog::level::info);
    created->flush_on(spdlog::level::debug);
    return created;
  }();
  return *logger;
}

std::string UtcNow() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const int64_t micros = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
  const time_t seconds = micros / 1000000;
  std::tm utc;
  gmtime_r(&seconds, &utc);
  char date[32], text[48];
  strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &utc);
  snprintf(text, sizeof(text), "%s.%06dZ", date, static_cast<int>(micros % 1000000));
  return text;
}

std::string Dump(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

}  // namespace

void ConfigureLog(LogFormat format, LogLevel minimum) {
  g_format = format;
  Logger().set_level(kSpdlogLevels[static_cast<int>(minimum)]);
}

std::string FormatLogLine(LogFormat format, LogLevel level, std::string_view time, std::string_view message,
                          const std::vector<LogField>& fields) {
  const std::string_view name = kLevelNames[static_cast<int>(level)];
  if (format == LogFormat::kJson) {
    nlohmann::ordered_json line;
    line["time"] = time;
    line["level"] = name;
    line["msg"] = message;
    for (const auto& [key, value] : fields) line[std::string(key)] = value;
    return line.dump(-1, ' ', false, json::error_handler_t::replace);
  }
  std::string line(time);
  line.append(" ").append(name).append(" ").append(message);
  for (const auto& [key, value] : fields) line.append(" ").append(key).append("=").append(Dump(value));
  return line;
}

void Log(LogLevel level, std::string_view message, const std::vector<LogField>& fields) {
  const spdlog::level::level_enum spdlog_level = kSpdlogLevels[static_cast<int>(level)];
  if (!Logger().should_log(spdlog_level)) return;
  const std::string line = FormatLogLine(g_format, level, UtcNow(), message, fields);
  Logger().log(spdlog_level, spdlog::string_view_t(line.data(), line.size()));
}

void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  Log(level, message, std::vector<LogField>(fields));
}

}  // namespace nashswarm::server

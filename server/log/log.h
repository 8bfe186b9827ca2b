// Structured logs: one line an event on standard error, as JSON (for machines) or text (for people).
// Fields have fixed names across the server: job, task, stage, worker, peer, method, code, reason, error, trace_id.
#ifndef NASHSWARM_SERVER_LOG_LOG_H_
#define NASHSWARM_SERVER_LOG_LOG_H_

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nlohmann/json.hpp"

namespace nashswarm::server {

enum class LogLevel { kDebug, kInfo, kWarning, kError };
enum class LogFormat { kJson, kText };

// Set once, before threads start.
void ConfigureLog(LogFormat format, LogLevel minimum);

using LogField = std::pair<std::string_view, nlohmann::json>;

// Any thread. Never fails and never throws: text that is not UTF-8 is written with replacement characters.
void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {});
void Log(LogLevel level, std::string_view message, const std::vector<LogField>& fields);

// The line without its newline (for tests).
std::string FormatLogLine(LogFormat format, LogLevel level, std::string_view time, std::string_view message,
                          const std::vector<LogField>& fields);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_LOG_LOG_H_

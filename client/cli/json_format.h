// Messages of the API as JSON, under the field names of the proto: numbers are numbers, digests are hexadecimal, enums
// are their names, times are RFC 3339.
#ifndef NASHSWARM_CLIENT_CLI_JSON_FORMAT_H_
#define NASHSWARM_CLIENT_CLI_JSON_FORMAT_H_

#include <ctime>
#include <string>

#include "nashswarm/v1/nashswarm.pb.h"
#include "nlohmann/json.hpp"

namespace nashswarm::cli {

nlohmann::json ToJson(const v1::FileEntry& file);
nlohmann::json ToJson(const v1::Model& model);
nlohmann::json ToJson(const v1::Calibration& calibration);
nlohmann::json ToJson(const v1::CompressionSpec& spec);
nlohmann::json ToJson(const v1::Job::Progress& progress);
nlohmann::json ToJson(const v1::Job::Result& result);
nlohmann::json ToJson(const v1::Job& job);
nlohmann::json ToJson(const v1::JobEvent& event);
nlohmann::json ToJson(const v1::Artifact& artifact);
nlohmann::json ToJson(const v1::ServerInfo& info);

std::string KindName(v1::Model::Kind kind);                        // "checkpoint", "data"
std::string StateName(v1::Job::State state);                      // "RUNNING"
std::string StageName(v1::Job::Stage stage);                      // "ENCODE"
// "3 d", "5 h", "12 min" or "7 s" before `now`, for lists.
std::string FormatAge(const google::protobuf::Timestamp& time, std::time_t now);
std::string FormatTime(const google::protobuf::Timestamp& time);  // "2026-05-20T10:00:00Z"
std::string FormatTarget(const v1::CompressionSpec& spec);        // "4.5 bpw", "50.0 MB", "90.0 % off", "ppl +2.00 %"

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_JSON_FORMAT_H_

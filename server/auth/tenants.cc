#include "server/auth/tenants.h"

#include "core/base/json.h"
#include "core/base/status.h"
#include "server/auth/caller.h"

namespace nashswarm::server {
namespace {

absl::Status Invalid(const std::string& path, const std::string& what) {
  return MakeError(absl::StatusCode::kInvalidArgument, "TENANTS_INVALID", absl::StrCat(path, ": ", what),
                   "members are \"default\" and \"tenants\"; limits are max_stored_bytes, max_queued_jobs, "
                   "max_running_jobs and max_streams");
}

absl::Status ReadQuota(const Json& json, const std::string& path, const std::string& who, TenantQuota* quota) {
  if (!json.is_object()) return Invalid(path, absl::StrCat(who, " must be an object"));
  const std::map<std::string, int64_t*> limits = {{"max_stored_bytes", &quota->max_stored_bytes},
                                                  {"max_queued_jobs", &quota->max_queued_jobs},
                                                  {"max_running_jobs", &quota->max_running_jobs},
                                                  {"max_streams", &quota->max_streams}};
  for (const auto& [name, value] : json.items()) {
    const auto limit = limits.find(name);
    if (limit == limits.end()) return Invalid(path, absl::StrCat(who, ": there is no limit \"", name, "\""));
    // nlohmann keeps what is no negative number as unsigned.
    // Not 0, which the store takes for "no limit".
    if (!value.is_number_unsigned() || value.get<uint64_t>() < 1 ||
        value.get<uint64_t>() > static_cast<uint64_t>(TenantQuota::kUnlimited)) {
      return Invalid(path, absl::StrCat(who, ": ", name, " must be a whole number, at least 1"));
    }
    *limit->second = value.get<int64_t>();
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TenantQuotas> TenantQuotas::Parse(std::string_view text, const std::string& path) {
  NS_ASSIGN_OR_RETURN(const Json json, ParseJson(text, path));
  if (!json.is_object()) return Invalid(path, "an object is needed");
  for (const auto& [name, value] : json.items()) {
    if (name != "default" && name != "tenants") return Invalid(path, absl::StrCat("there is no member \"", name, "\""));
  }
  TenantQuotas quotas;
  if (json.contains("default")) NS_RETURN_IF_ERROR(ReadQuota(json["default"], path, "default", &quotas.default_));
  if (!json.contains("tenants")) return quotas;
  if (!json["tenants"].is_object()) return Invalid(path, "tenants must be an object");
  for (const auto& [name, value] : json["tenants"].items()) {
    if (!IsTenantName(name)) return Invalid(path, absl::StrCat("\"", name, "\" is not a tenant's name"));
    TenantQuota quota = quotas.default_;
    NS_RETURN_IF_ERROR(ReadQuota(value, path, name, &quota));
    quotas.tenants_[name] = quota;
  }
  return quotas;
}

}  // namespace nashswarm::server

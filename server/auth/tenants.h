// The tenants file: what a tenant may use. JSON,
//   {"default": {"max_streams": 16}, "tenants": {"team-a": {"max_stored_bytes": 1099511627776, "max_queued_jobs":
//   100}}}
// A limit that a tenant does not name is the default's, and one the default does not name is no limit.
#ifndef NASHSWARM_SERVER_AUTH_TENANTS_H_
#define NASHSWARM_SERVER_AUTH_TENANTS_H_

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace nashswarm::server {

struct TenantQuota {
  static constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

  int64_t max_stored_bytes = kUnlimited;  // of models and artifacts
  int64_t max_queued_jobs = kUnlimited;
  int64_t max_running_jobs = kUnlimited;
  int64_t max_streams = kUnlimited;  // uploads, downloads and watches at a time
};

class TenantQuotas {
 public:
  // INVALID_ARGUMENT / TENANTS_INVALID: also for a member nobody knows, which is most likely misspelt.
  static absl::StatusOr<TenantQuotas> Parse(std::string_view text, const std::string& path);

  const TenantQuota& Of(const std::string& tenant) const {
    const auto it = tenants_.find(tenant);
    return it == tenants_.end() ? default_ : it->second;
  }

 private:
  TenantQuota default_;
  std::map<std::string, TenantQuota> tenants_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_AUTH_TENANTS_H_

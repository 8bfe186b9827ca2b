#include "core/base/status.h"
#include "server/services/context.h"

namespace nashswarm::server {

StreamSlots::Taken StreamSlots::TryTake(const std::string& tenant, int64_t tenant_slots) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (free_ <= 0) return Taken::kNoneLeft;
  const auto it = of_tenant_.find(tenant);
  if ((it == of_tenant_.end() ? 0 : it->second) >= tenant_slots) return Taken::kNoneLeftForTenant;
  --free_;
  ++of_tenant_[tenant];
  return Taken::kYes;
}

void StreamSlots::Return(const std::string& tenant) {
  std::lock_guard<std::mutex> lock(mutex_);
  ++free_;
  const auto it = of_tenant_.find(tenant);
  if (--it->second == 0) of_tenant_.erase(it);
}

StreamSlot::StreamSlot(const ServiceContext& context, const std::string& tenant)
    : slots_(context.streams), tenant_(tenant) {
  switch (slots_->TryTake(tenant, context.access->QuotaOf(tenant).max_streams)) {
    case StreamSlots::Taken::kYes:
      return;
    case StreamSlots::Taken::kNoneLeft:
      status_ = MakeError(absl::StatusCode::kResourceExhausted, "TOO_MANY_STREAMS",
                          "as many uploads, downloads and watches are open as the server allows",
                          "try again in a moment, or raise --max-streams");
      return;
    case StreamSlots::Taken::kNoneLeftForTenant:
      status_ = MakeError(absl::StatusCode::kResourceExhausted, "TOO_MANY_STREAMS",
                          absl::StrCat("as many uploads, downloads and watches are open as tenant ", tenant,
                                       " may have"),
                          "try again in a moment, or raise max_streams in the server's --tenants file");
  }
}

}  // namespace nashswarm::server

#include "server/store/sql/fence.h"

namespace nashswarm::server::sql {

const char* const kTaskFence = "lease_epoch = ? AND lease_owner = ? AND state = 'running'";
const char* const kWriterFence = "writer_epoch = ?";

}  // namespace nashswarm::server::sql

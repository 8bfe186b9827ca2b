// In the place of server/store/sql/fence.cc: a nashswarmd whose writes match whoever has the task or file now. It exists to
// show that the crash test notices.
#include "server/store/sql/fence.h"

namespace nashswarm::server::sql {

const char* const kTaskFence = "lease_epoch >= ? AND ? <> ''";
const char* const kWriterFence = "writer_epoch >= ?";

}  // namespace nashswarm::server::sql

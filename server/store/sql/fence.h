// The conditions that keep out whoever has lost its task or file to another. They stand by themselves so that the crash
// test can link a server without them and see what they are worth.
#ifndef NASHSWARM_SERVER_STORE_SQL_FENCE_H_
#define NASHSWARM_SERVER_STORE_SQL_FENCE_H_

namespace nashswarm::server::sql {

// Of a tasks row; parameters: the lease's epoch and owner.
extern const char* const kTaskFence;
// Of an upload_files row; parameter: the writer's epoch.
extern const char* const kWriterFence;

}  // namespace nashswarm::server::sql

#endif  // NASHSWARM_SERVER_STORE_SQL_FENCE_H_

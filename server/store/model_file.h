// A file of a model or an artifact.
#ifndef NASHSWARM_SERVER_STORE_MODEL_FILE_H_
#define NASHSWARM_SERVER_STORE_MODEL_FILE_H_

#include <string>

#include "server/store/blob_store.h"

namespace nashswarm::server {

struct ModelFile {
  std::string path;
  BlobDigest digest;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_MODEL_FILE_H_

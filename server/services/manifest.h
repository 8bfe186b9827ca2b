// The manifest of a model: what identifies its content.
#ifndef NASHSWARM_SERVER_SERVICES_MANIFEST_H_
#define NASHSWARM_SERVER_SERVICES_MANIFEST_H_

#include <vector>

#include "server/store/model_file.h"

namespace nashswarm::server {

// The digest of one line a file, sorted by path in byte order: "<sha256 in hex> <size> <path>\n". Equal content under
// equal paths gives an equal digest, whatever the order of `files`.
BlobDigest ManifestDigest(std::vector<ModelFile> files);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_SERVICES_MANIFEST_H_

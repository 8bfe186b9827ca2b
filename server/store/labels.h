// What users attach to models and jobs, by key.
#ifndef NASHSWARM_SERVER_STORE_LABELS_H_
#define NASHSWARM_SERVER_STORE_LABELS_H_

#include <map>
#include <string>

namespace nashswarm::server {

using Labels = std::map<std::string, std::string>;

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_LABELS_H_

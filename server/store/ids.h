// Identifiers: 26-character ULIDs (48 bits of milliseconds, 80 random bits) in lower-case Crockford base 32, so that
// ids sort by creation time and fit the resource-name pattern.
#ifndef NASHSWARM_SERVER_STORE_IDS_H_
#define NASHSWARM_SERVER_STORE_IDS_H_

#include <cstdint>
#include <string>

namespace nashswarm::server {

std::string NewId(int64_t now_us);

// "models/abc" from its collection and id.
inline std::string NameOf(const char* collection, const std::string& id) { return std::string(collection) + "/" + id; }

inline std::string IdOf(const std::string& name) { return name.substr(name.find('/') + 1); }

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_IDS_H_

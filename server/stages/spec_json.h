// A job's spec as the engine reads it (core/engine/README.md). Pure.
#ifndef NASHSWARM_SERVER_STAGES_SPEC_JSON_H_
#define NASHSWARM_SERVER_STAGES_SPEC_JSON_H_

#include "core/base/json.h"
#include "nashswarm/v1/nashswarm.pb.h"

namespace nashswarm::server {

Json SpecToJson(const v1::CompressionSpec& spec);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STAGES_SPEC_JSON_H_

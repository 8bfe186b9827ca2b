// What an engine says of itself, for tests of those who ask.
#ifndef NASHSWARM_TESTS_UNIT_SERVER_TEST_ENGINE_H_
#define NASHSWARM_TESTS_UNIT_SERVER_TEST_ENGINE_H_

#include "server/worker/engine_description.h"

namespace nashswarm::server {

inline const EngineDescription& TestEngine() {
  static const EngineDescription kEngine = {
      .version = "1.2.3",
      .architectures = {"gpt2"},
      .number_formats = {{"Q4_K", 4.5, 256}, {"Q6_K", 6.5625, 256}, {"Q8_0", 8.5, 32}, {"F16", 16, 1}},
      .artifact_kinds = {"gguf", "nsq"},
      .stages = {"validate", "prepare", "calibrate", "measure", "solve", "search", "encode", "evaluate", "publish"},
      .max_header_bytes = 100 << 20};
  return kEngine;
}

}  // namespace nashswarm::server

#endif  // NASHSWARM_TESTS_UNIT_SERVER_TEST_ENGINE_H_

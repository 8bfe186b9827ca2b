// Batches of router logits for tests.
#ifndef NASHSWARM_TESTS_UNIT_ROUTING_SAMPLES_H_
#define NASHSWARM_TESTS_UNIT_ROUTING_SAMPLES_H_

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace nashswarm::routing {

// Normal logits on top of a skew by expert, so that some are much in demand.
inline std::vector<float> RandomLogits(uint64_t tokens, uint64_t experts, uint32_t seed = 1, float skew = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> demand(experts), logits;
  for (float& d : demand) d = skew * normal(random);
  for (uint64_t i = 0; i < tokens * experts; ++i) logits.push_back(demand[i % experts] + 1.5f * normal(random));
  return logits;
}

inline std::vector<float> RandomCentres(uint64_t experts, uint64_t width, uint32_t seed = 9) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> centres(experts * width);
  for (float& c : centres) c = normal(random);
  return centres;
}

}  // namespace nashswarm::routing

#endif  // NASHSWARM_TESTS_UNIT_ROUTING_SAMPLES_H_

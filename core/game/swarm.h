// A flock that looks for the lowest value of a function that is costly and perhaps noisy: plans of a model, for one.
//
// Birds keep apart, align and stay together (C. Reynolds, "Flocks, herds, and schools", SIGGRAPH 1987), each looking at its 7
// nearest neighbours only, however far they are (M. Ballerini et al., PNAS 105, 2008), and fly toward the best place that
// they and the flock have found (J. Kennedy, R. Eberhart, "Particle swarm optimization", 1995). A heuristic: it promises
// nothing but never to forget the best it was told.
#ifndef NASHSWARM_CORE_GAME_SWARM_H_
#define NASHSWARM_CORE_GAME_SWARM_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace nashswarm::game {

inline constexpr size_t kNeighbours = 7;

struct SwarmOptions {
  size_t birds = 12;
  size_t dimensions = 1;
  uint64_t seed = 0;
  double spread = 0.5;     // the first positions are so far from the origin at most, in each coordinate
  double max_speed = 0.5;  // length of a step
  double reach = 4;        // no coordinate leaves [-reach, reach]
};

// A flock as plain numbers: with the options all there is to it.
struct SwarmState {
  uint64_t generation = 0;
  std::vector<std::vector<double>> positions, velocities;  // by bird
  std::vector<std::vector<double>> own_best;               // by bird; empty until it has a value
  std::vector<double> own_value;                           // of them; infinite until then
  friend bool operator==(const SwarmState&, const SwarmState&) = default;
};

// Deterministic for a seed. Not thread-safe.
class Swarm {
 public:
  // The first bird begins at the origin.
  explicit Swarm(const SwarmOptions& options);
  // INVALID_ARGUMENT / SWARM_STATE when the state does not fit the options or has numbers that are none.
  static absl::StatusOr<Swarm> Resume(const SwarmOptions& options, SwarmState state);

  // What to try next, by bird.
  const std::vector<std::vector<double>>& Ask() const { return state_.positions; }
  // Values at the positions of Ask, lower is better; infinity: not tried. Moves the flock.
  void Tell(absl::Span<const double> values);

  // The best position so far; empty before there is one.
  const std::vector<double>& best() const;
  double best_value() const;                // infinite before there is one
  const SwarmState& state() const { return state_; }

 private:
  Swarm(const SwarmOptions& options, SwarmState state) : options_(options), state_(std::move(state)) {}
  size_t BestBird() const;
  std::vector<double> Velocity(size_t bird) const;

  SwarmOptions options_;
  SwarmState state_;
};

// The `count` nearest to `positions[bird]`, the nearest first, of equally near ones the lower index; without itself.
std::vector<size_t> NearestNeighbours(const std::vector<std::vector<double>>& positions, size_t bird, size_t count);

}  // namespace nashswarm::game

#endif  // NASHSWARM_CORE_GAME_SWARM_H_

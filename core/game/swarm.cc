#include "core/game/swarm.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/base/status.h"

namespace nashswarm::game {
namespace {

// Inertia and pulls: the constants under which a particle swarm comes to rest (M. Clerc, J. Kennedy, 2002).
constexpr double kInertia = 0.73, kOwnPull = 1.5, kFlockPull = 1.5;
// The rules of the flock are weaker than the pulls, or it would fly on together past what it has found.
constexpr double kSeparation = 0.05, kAlignment = 0.1, kCohesion = 0.1;
// Birds nearer than this share of the speed limit push each other away. Noise is a share of it too, less every generation:
// so the flock can settle, on a place and not on a bird.
constexpr double kRoom = 0.3, kNoise = 0.1, kCalming = 0.05;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A number for a draw, in [0, 1): SplitMix64's mixer over where it is drawn. No generator, so no state to keep.
uint64_t Mix(uint64_t z) {
  z += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

enum Draw : uint64_t { kPosition, kVelocity, kOwn, kFlock, kGust };  // kGust and on: one draw of several

double Uniform(uint64_t seed, uint64_t generation, uint64_t bird, uint64_t coordinate, uint64_t draw) {
  const uint64_t bits = Mix(Mix(Mix(Mix(Mix(seed) ^ generation) ^ bird) ^ coordinate) ^ draw);
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

double SquaredDistance(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t d = 0; d < a.size(); ++d) sum += (a[d] - b[d]) * (a[d] - b[d]);
  return sum;
}

bool IsShaped(const std::vector<std::vector<double>>& rows, const SwarmOptions& options, bool may_be_empty) {
  return rows.size() == options.birds && std::all_of(rows.begin(), rows.end(), [&](const std::vector<double>& row) {
    return (row.size() == options.dimensions || (may_be_empty && row.empty())) &&
           std::all_of(row.begin(), row.end(), [](double x) { return std::isfinite(x); });
  });
}

}  // namespace

std::vector<size_t> NearestNeighbours(const std::vector<std::vector<double>>& positions, size_t bird, size_t count) {
  std::vector<std::pair<double, size_t>> others;
  for (size_t other = 0; other < positions.size(); ++other) {
    if (other != bird) others.emplace_back(SquaredDistance(positions[bird], positions[other]), other);
  }
  count = std::min(count, others.size());
  std::partial_sort(others.begin(), others.begin() + static_cast<ptrdiff_t>(count), others.end());
  std::vector<size_t> nearest;
  for (size_t i = 0; i < count; ++i) nearest.push_back(others[i].second);
  return nearest;
}

Swarm::Swarm(const SwarmOptions& options) : options_(options) {
  const size_t dimensions = options.dimensions;
  // Together a velocity's coordinates stay below half the speed limit.
  const double speed = options.max_speed / (2 * std::sqrt(static_cast<double>(std::max<size_t>(dimensions, 1))));
  for (size_t bird = 0; bird < options.birds; ++bird) {
    std::vector<double> position(dimensions, 0), velocity(dimensions);
    for (size_t d = 0; d < dimensions; ++d) {
      if (bird > 0) {
        position[d] = std::clamp(options.spread * (2 * Uniform(options.seed, 0, bird, d, kPosition) - 1), -options.reach, options.reach);
      }
      velocity[d] = speed * (2 * Uniform(options.seed, 0, bird, d, kVelocity) - 1);
    }
    state_.positions.push_back(std::move(position));
    state_.velocities.push_back(std::move(velocity));
  }
  state_.own_best.resize(options.birds);
  state_.own_value.assign(options.birds, kInfinity);
}

absl::StatusOr<Swarm> Swarm::Resume(const SwarmOptions& options, SwarmState state) {
  bool fits = IsShaped(state.positions, options, false) && IsShaped(state.velocities, options, false) &&
              IsShaped(state.own_best, options, true) && state.own_value.size() == options.birds;
  for (size_t bird = 0; fits && bird < options.birds; ++bird) {
    fits = !std::isnan(state.own_value[bird]) && std::isfinite(state.own_value[bird]) == !state.own_best[bird].empty();
  }
  if (!fits) return MakeError(absl::StatusCode::kInvalidArgument, "SWARM_STATE", "the state of the flock does not fit its options");
  return Swarm(options, std::move(state));
}

size_t Swarm::BestBird() const {
  return static_cast<size_t>(std::min_element(state_.own_value.begin(), state_.own_value.end()) - state_.own_value.begin());
}

const std::vector<double>& Swarm::best() const { return state_.own_best[BestBird()]; }
double Swarm::best_value() const { return state_.own_value[BestBird()]; }

// From the positions and velocities of all as they are.
std::vector<double> Swarm::Velocity(size_t bird) const {
  const std::vector<double>& here = state_.positions[bird];
  const std::vector<size_t> neighbours = NearestNeighbours(state_.positions, bird, kNeighbours);
  const double share = neighbours.empty() ? 0 : 1.0 / static_cast<double>(neighbours.size());
  const double room = kRoom * options_.max_speed;
  const double gust = kNoise * options_.max_speed / (1 + kCalming * static_cast<double>(state_.generation)) /
                      std::sqrt(static_cast<double>(std::max<size_t>(options_.dimensions, 1)));
  const std::vector<double>&own = state_.own_best[bird], &flock = best();
  const auto draw = [&](size_t d, uint64_t what) { return Uniform(options_.seed, state_.generation + 1, bird, d, what); };

  std::vector<double> velocity(here.size());
  for (size_t d = 0; d < here.size(); ++d) {
    double away = 0, center = 0, heading = 0;
    for (const size_t other : neighbours) {
      center += share * (state_.positions[other][d] - here[d]);
      heading += share * (state_.velocities[other][d] - state_.velocities[bird][d]);
    }
    for (const size_t other : neighbours) {
      const double distance = std::sqrt(SquaredDistance(here, state_.positions[other]));
      if (distance < room) away += (here[d] - state_.positions[other][d]) * (room / (distance + 0.1 * room) - 1 / 1.1);
    }
    double next = kInertia * state_.velocities[bird][d] + kSeparation * away + kAlignment * heading + kCohesion * center;
    if (!own.empty()) next += kOwnPull * draw(d, kOwn) * (own[d] - here[d]);
    if (!flock.empty()) next += kFlockPull * draw(d, kFlock) * (flock[d] - here[d]);
    // Four uniform draws: nearly normal, of variance 1 after the scaling, and the same on every machine.
    double noise = -2;
    for (uint64_t i = 0; i < 4; ++i) noise += draw(d, kGust + i);
    velocity[d] = next + gust * std::sqrt(3.0) * noise;
  }
  const double speed = std::sqrt(SquaredDistance(velocity, std::vector<double>(velocity.size(), 0)));
  if (speed > options_.max_speed) {
    for (double& v : velocity) v *= options_.max_speed / speed;
  }
  return velocity;
}

void Swarm::Tell(absl::Span<const double> values) {
  for (size_t bird = 0; bird < values.size() && bird < options_.birds; ++bird) {
    if (!(values[bird] < state_.own_value[bird])) continue;  // not tried, and not-a-number, too
    state_.own_value[bird] = values[bird];
    state_.own_best[bird] = state_.positions[bird];
  }
  std::vector<std::vector<double>> velocities;
  for (size_t bird = 0; bird < options_.birds; ++bird) velocities.push_back(Velocity(bird));
  for (size_t bird = 0; bird < options_.birds; ++bird) {
    for (size_t d = 0; d < options_.dimensions; ++d) {
      double& x = state_.positions[bird][d];
      x = std::clamp(x + velocities[bird][d], -options_.reach, options_.reach);
    }
  }
  state_.velocities = std::move(velocities);
  ++state_.generation;
}

}  // namespace nashswarm::game

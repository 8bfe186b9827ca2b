#include "core/nsq/quantizer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/parallel.h"
#include "core/nsq/classes.h"
#include "core/nsq/power.h"
#include "core/nsq/scale.h"

namespace nashswarm::nsq {
namespace {

// Bands of a sample: as flat as those of a matrix may be.
constexpr uint32_t kSampleBand = 64;
// Rows of a sample that lie together: what a weight costs depends on the path to it, hence on the rows before.
constexpr uint32_t kRun = 8;

// A scale costs a few bits, and one that is off by a quarter of its grid costs a half per cent of error (eighths of an octave
// 0.1 %): the fewer weights share it, the coarser it may be.
int Coarseness(uint32_t weights) { return weights < 128 ? 4 : weights < 512 ? 2 : 1; }

double Mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(std::max<size_t>(1, values.size()));
}

// Logarithms of scales, less their mean, as indices.
std::vector<int32_t> ScaleIndices(const std::vector<double>& log2_scales, int coarseness) {
  const double mean = Mean(log2_scales);
  std::vector<int32_t> indices;
  for (const double scale : log2_scales) indices.push_back(ScaleIndex(scale - mean, coarseness));
  return indices;
}

// A number below `below` for each i, evenly spread, yet without a period: rows of a weight matrix often have one (heads).
uint32_t Jitter(uint32_t i, uint32_t below) {
  constexpr uint32_t kGoldenRatio = 0x9e3779b9;  // as a fraction of 2^32
  return static_cast<uint32_t>(uint64_t{(i + 1) * kGoldenRatio} * below >> 32);
}

// What is counted fits the tables: one for each context, or two.
std::vector<coding::FrequencyTable> FitTables(const nsq::Counts& counts, int threads) {
  std::vector<coding::FrequencyTable> tables(counts.size() / kHistogram);
  (void)ParallelFor(threads, tables.size(), [&](uint64_t t) {
    const auto first = counts.begin() + static_cast<ptrdiff_t>(t) * kHistogram;
    tables[t] = coding::FrequencyTable::Fit(std::vector<double>(first, first + kHistogram));
    return absl::OkStatus();
  });
  return tables;
}

}  // namespace

Quantizer::Quantizer(const float* weights, uint32_t rows, uint32_t columns, const MatrixLoss& loss, Settings settings)
    : loss_(loss), settings_(settings) {
  if (!settings.dependent) settings_.price /= 4;
  board_.weights = weights;
  board_.factor = feeds() ? loss.moment->factor().data() : nullptr;
  board_.grid.rows = rows;
  board_.grid.columns = columns;
  board_.grid.dependent = settings.dependent;
  ChooseScales();
  ChooseClasses();
}

// Whether errors of this column count at all.
bool Quantizer::Counts(uint32_t column) const {
  if (loss_.moment != nullptr) return loss_.moment->diagonal()[column] > 0.0f;
  return loss_.importance.empty() || loss_.importance[column] > 0.0f;
}

// U_jj of the factor of the inverse moment, or what stands for it.
float Quantizer::FactorDiagonal(uint32_t column) const {
  if (feeds()) return loss_.moment->factor()[static_cast<size_t>(column) * board_.grid.columns + column];
  if (loss_.moment != nullptr) return 1.0f / std::sqrt(loss_.moment->diagonal()[column] + loss_.moment->added());
  if (loss_.importance.empty()) return 1.0f;
  double mean = 0;
  for (const float v : loss_.importance) mean += v / static_cast<double>(board_.grid.columns);
  return static_cast<float>(1.0 / std::sqrt(loss_.importance[column] + std::max(0.01 * mean, 1e-30)));
}

void Quantizer::ChooseScales() {
  Grid& grid = board_.grid;
  std::vector<double> columns(grid.columns), rows(grid.rows, 0.0);
  for (uint32_t c = 0; c < grid.columns; ++c) columns[c] = std::log2(FactorDiagonal(c));
  if (!loss_.row_weights.empty()) {
    for (uint32_t r = 0; r < grid.rows; ++r) rows[r] = -0.5 * std::log2(loss_.row_weights[r]);
  }
  grid.column_scale.assign(grid.columns, 0);
  grid.row_scale.assign(grid.rows, 0);
  if (settings_.water_filling) {
    grid.column_scale = ScaleIndices(columns, Coarseness(grid.rows));
    grid.row_scale = ScaleIndices(rows, Coarseness(grid.columns));
  }
  const double mean = Mean(columns);
  for (uint32_t c = 0; c < grid.columns; ++c) {
    const float scale = ScaleOf(grid.column_scale[c]);
    board_.column_inverse.push_back(Counts(c) ? 1.0f / scale : 0.0f);
    // A squared step of this column counts so many of the mean one's; a bit is worth the fewer.
    const double weight = std::exp2(2.0 * (std::log2(scale) - (columns[c] - mean)));
    board_.column_weight.push_back(static_cast<float>(weight));
    board_.column_price.push_back(static_cast<float>(settings_.price / weight));
  }
  for (uint32_t r = 0; r < grid.rows; ++r) board_.row_inverse.push_back(1.0f / ScaleOf(grid.row_scale[r]));
}

void Quantizer::ChooseClasses() {
  Grid& grid = board_.grid;
  const Power power = MeanSquares(board_, settings_.threads);
  spread_ = std::sqrt(Mean(power.row));
  Classes classes{std::vector<uint8_t>(grid.rows, 0), std::vector<uint8_t>(grid.columns, 0)};
  if (settings_.classes && spread_ > 0) classes = nsq::ChooseClasses(power.row, power.column);
  grid.row_class = std::move(classes.row);
  grid.column_class = std::move(classes.column);
  ChooseSample();
  context_spread_ = ContextSpreads(board_, sample_);
}

// Runs of neighbouring rows, one in every so many.
void Quantizer::ChooseSample() {
  const Grid& grid = board_.grid;
  all_.index.resize(grid.rows);
  std::iota(all_.index.begin(), all_.index.end(), 0u);
  all_.band = grid.tile_rows();
  sample_ = all_;
  const uint64_t weights = uint64_t{grid.rows} * grid.columns;
  if (settings_.sample_weights == 0 || weights / settings_.sample_weights < 2) return;
  const auto every = static_cast<uint32_t>(std::min<uint64_t>(weights / settings_.sample_weights, grid.rows / kSampleBand));
  if (every < 2) return;
  sample_.index.clear();
  for (uint32_t run = 0; run * kRun < grid.rows; ++run) {
    if (run % every != Jitter(run / every, every)) continue;
    for (uint32_t r = run * kRun; r < std::min(grid.rows, (run + 1) * kRun); ++r) sample_.index.push_back(r);
  }
  const auto size = static_cast<uint32_t>(sample_.index.size()), bands = std::max(1u, size / kSampleBand);
  sample_.band = (size + bands - 1) / bands;
  sample_.whole = false;
}

Outcome Quantizer::PlayRounds(const Rows& rows, float step, int count, CodeLengths* next, std::vector<Round>* rounds) const {
  Outcome best;
  CodeLengths lengths = *next;
  double least = 0;
  for (int round = 0; round < count; ++round) {
    Outcome outcome = Play(board_, rows, lengths.rates(), step, settings_.threads);
    Round result{.weights = uint64_t{rows.index.size()} * board_.grid.columns, .error = outcome.error};
    result.bits = IdealBits(outcome.counts);
    result.potential = result.error + settings_.price * result.bits;
    result.kept = round == 0 || result.potential < least;
    rounds->push_back(result);
    if (!result.kept) break;
    least = result.potential;
    best = std::move(outcome);
    *next = lengths;
    lengths.Learn(best.counts);
    if (round + 1 == count) *next = lengths;
  }
  return best;
}

Quantized Quantizer::Quantize(double step) const {
  Quantized quantized;
  Matrix& matrix = quantized.matrix;
  matrix.grid = board_.grid;
  matrix.grid.step = spread_ > 0 ? static_cast<float>(step) : 0.0f;
  if (!(spread_ > 0)) {  // nothing but zeros
    matrix.integers.assign(size_t{board_.grid.rows} * board_.grid.columns, 0);
    matrix.tables.assign(static_cast<size_t>(matrix.grid.tables()), coding::FrequencyTable());
    return quantized;
  }
  std::vector<double> spreads = context_spread_;
  for (double& spread : spreads) spread /= matrix.grid.step;
  CodeLengths lengths(settings_.dependent, spreads);
  int rounds = std::max(1, settings_.rounds);
  if (!sample_.whole && rounds > 1) {
    PlayRounds(sample_, matrix.grid.step, rounds - 1, &lengths, &quantized.rounds);
    rounds = 1;
  }
  Outcome outcome = PlayRounds(all_, matrix.grid.step, rounds, &lengths, &quantized.rounds);
  matrix.integers = std::move(outcome.integers);
  matrix.tables = FitTables(outcome.counts, settings_.threads);
  return quantized;
}

}  // namespace nashswarm::nsq

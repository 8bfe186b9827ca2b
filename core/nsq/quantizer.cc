#include "core/nsq/quantizer.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>

#include "core/base/parallel.h"
#include "core/coding/trellis.h"
#include "core/nsq/classes.h"
#include "core/nsq/column.h"
#include "core/nsq/first_rates.h"
#include "core/nsq/scale.h"

namespace nashswarm::nsq {
namespace {

// Columns whose errors are gathered before they are fed to all columns after them in one matrix product.
constexpr uint32_t kBlock = 32;
// Histograms keep magnitudes below this one by one; what is beyond would be an escape anyway.
constexpr size_t kHistogram = 256;

// A scale costs a few bits, and one that is off by a quarter of its grid costs a half per cent of error (eighths of an octave
// 0.1 %): the fewer weights share it, the coarser it may be.
int Coarseness(uint32_t weights) { return weights < 128 ? 4 : weights < 512 ? 2 : 1; }

// Logarithms of scales, less their mean, as indices.
std::vector<int32_t> ScaleIndices(const std::vector<double>& log2_scales, int coarseness) {
  double mean = 0;
  for (const double scale : log2_scales) mean += scale / static_cast<double>(log2_scales.size());
  std::vector<int32_t> indices;
  for (const double scale : log2_scales) indices.push_back(ScaleIndex(scale - mean, coarseness));
  return indices;
}

// Code lengths for the next round: those fitted to this one, and a part of the way they have come farther on, since they go
// on that way. Reaches in five rounds what takes eight without (on normal weights at 1 to 4 bits).
void Anticipate(float fitted, int round, float* rate) {
  constexpr float kFarther = 0.7f, kLeastBits = 0.05f;
  *rate = round == 0 ? fitted : std::max(kLeastBits, fitted + kFarther * (fitted - *rate));
}

}  // namespace

// What one round of all tiles leaves behind.
struct Quantizer::Pass {
  double step = 0;
  const float* rates = nullptr;
  std::vector<int32_t> integers;
  std::vector<std::vector<double>> counts;  // [tile]: table x kHistogram
  std::vector<double> error;                // [tile], in squared steps
};

Quantizer::Quantizer(const float* weights, uint32_t rows, uint32_t columns, const MatrixLoss& loss, Settings settings)
    : weights_(weights), loss_(loss), settings_(settings) {
  grid_.rows = rows;
  grid_.columns = columns;
  grid_.dependent = settings.dependent;
  ChooseScales();
  ChooseClasses();
}

// U_jj of the factor of the inverse moment, or what stands for it.
float Quantizer::FactorDiagonal(uint32_t column) const {
  if (loss_.moment != nullptr && settings_.feedback) {
    return loss_.moment->factor()[static_cast<size_t>(column) * grid_.columns + column];
  }
  if (loss_.moment != nullptr) return 1.0f / std::sqrt(loss_.moment->diagonal()[column] + loss_.moment->added());
  if (loss_.importance.empty()) return 1.0f;
  double mean = 0;
  for (const float v : loss_.importance) mean += v / static_cast<double>(grid_.columns);
  return static_cast<float>(1.0 / std::sqrt(loss_.importance[column] + std::max(0.01 * mean, 1e-30)));
}

void Quantizer::ChooseScales() {
  std::vector<double> columns(grid_.columns), rows(grid_.rows, 0.0);
  double mean = 0;
  for (uint32_t c = 0; c < grid_.columns; ++c) {
    columns[c] = std::log2(FactorDiagonal(c));
    mean += columns[c] / grid_.columns;
  }
  if (!loss_.row_weights.empty()) {
    for (uint32_t r = 0; r < grid_.rows; ++r) rows[r] = -0.5 * std::log2(loss_.row_weights[r]);
  }
  if (settings_.water_filling) {
    grid_.column_scale = ScaleIndices(columns, Coarseness(grid_.rows));
    grid_.row_scale = ScaleIndices(rows, Coarseness(grid_.columns));
  } else {
    grid_.column_scale.assign(grid_.columns, 0);
    grid_.row_scale.assign(grid_.rows, 0);
  }
  for (uint32_t c = 0; c < grid_.columns; ++c) {
    column_scale_.push_back(ScaleOf(grid_.column_scale[c]));
    // A squared step of this column counts so many of the mean one's; a bit is worth the fewer.
    const double weight = 2.0 * (std::log2(column_scale_[c]) - (columns[c] - mean));
    column_price_.push_back(static_cast<float>(settings_.price * std::exp2(-weight)));
  }
  for (uint32_t r = 0; r < grid_.rows; ++r) row_inverse_.push_back(1.0f / ScaleOf(grid_.row_scale[r]));
}

void Quantizer::ChooseClasses() {
  std::vector<double> row_power(grid_.rows), column_power(grid_.columns), inverse(grid_.columns);
  for (uint32_t c = 0; c < grid_.columns; ++c) inverse[c] = 1.0 / column_scale_[c];
  double total = 0;
  const auto power = [&](uint32_t r, uint32_t c) {
    const double v = weights_[static_cast<size_t>(r) * grid_.columns + c] * inverse[c] * row_inverse_[r];
    return v * v;
  };
  for (uint32_t r = 0; r < grid_.rows; ++r) {
    for (uint32_t c = 0; c < grid_.columns; ++c) {
      const double p = power(r, c);
      row_power[r] += p / grid_.columns;
      column_power[c] += p / grid_.rows;
    }
    total += row_power[r];
  }
  spread_ = grid_.rows == 0 ? 0 : std::sqrt(total / grid_.rows);
  Classes classes{std::vector<uint8_t>(grid_.rows, 0), std::vector<uint8_t>(grid_.columns, 0)};
  if (settings_.classes && spread_ > 0) classes = nsq::ChooseClasses(row_power, column_power);
  grid_.row_class = std::move(classes.row);
  grid_.column_class = std::move(classes.column);

  std::vector<double> sums(grid_.contexts()), counts(grid_.contexts());
  for (uint32_t r = 0; r < grid_.rows; ++r) {
    for (uint32_t c = 0; c < grid_.columns; ++c) {
      const int context = grid_.row_class[r] + grid_.column_class[c];
      sums[context] += power(r, c);
      counts[context] += 1;
    }
  }
  for (size_t i = 0; i < sums.size(); ++i) context_spread_.push_back(counts[i] > 0 ? std::sqrt(sums[i] / counts[i]) : 0);
}

// A tile is a panel of columns, each contiguous: rounding walks down a column, feedback adds columns to columns.
void Quantizer::RunTile(uint32_t tile, Pass* pass) const {
  const uint32_t first_row = tile * grid_.tile_rows(), rows = grid_.RowsOf(tile), columns = grid_.columns;
  const bool feeds = loss_.moment != nullptr && settings_.feedback;
  std::vector<float> panel(static_cast<size_t>(columns) * rows), errors(static_cast<size_t>(kBlock) * rows);
  std::vector<float> scaled(rows), steps(rows);
  std::vector<int32_t> integers(rows);
  std::vector<uint8_t> states(rows);
  ColumnScratch scratch;
  const float inverse_step = static_cast<float>(1.0 / pass->step);
  for (uint32_t i = 0; i < rows; ++i) {
    const float* from = weights_ + static_cast<size_t>(first_row + i) * columns;
    const float factor = row_inverse_[first_row + i] * inverse_step;
    for (uint32_t j = 0; j < columns; ++j) panel[static_cast<size_t>(j) * rows + i] = from[j] * factor;
  }
  const float* u = feeds ? loss_.moment->factor().data() : nullptr;
  const uint8_t* row_class = grid_.row_class.data() + first_row;
  std::vector<double>& counts = pass->counts[tile];
  counts.assign(static_cast<size_t>(grid_.tables()) * kHistogram, 0.0);
  double total_error = 0;
  for (uint32_t begin = 0; begin < columns; begin += kBlock) {
    const uint32_t end = std::min(begin + kBlock, columns);
    for (uint32_t j = begin; j < end; ++j) {
      const float* z = &panel[static_cast<size_t>(j) * rows];
      const float inverse = 1.0f / column_scale_[j];
      for (uint32_t i = 0; i < rows; ++i) scaled[i] = z[i] * inverse;
      ChooseColumn({scaled.data(), static_cast<int>(rows), row_class, grid_.column_class[j], settings_.dependent, pass->rates,
                    column_price_[j]},
                   &scratch, integers.data(), steps.data());
      double error = 0;
      float* e = &errors[static_cast<size_t>(j - begin) * rows];
      const float scale = feeds ? column_scale_[j] / u[static_cast<size_t>(j) * columns + j] : 0.0f;
      int state = 0;
      for (uint32_t i = 0; i < rows; ++i) {
        const float off = scaled[i] - steps[i];
        error += static_cast<double>(off) * off;
        e[i] = off * scale;
        const int32_t k = integers[i];
        pass->integers[static_cast<size_t>(first_row + i) * columns + j] = k;
        int table = row_class[i] + grid_.column_class[j];
        if (settings_.dependent) {
          table = 2 * table + (state & 1);
          state = coding::NextState(state, k);
        }
        counts[static_cast<size_t>(table) * kHistogram + std::min<size_t>(static_cast<size_t>(std::abs(k)), kHistogram - 1)] += 1;
      }
      total_error += error * (settings_.price / static_cast<double>(std::max(column_price_[j], 1e-30f)));
      if (!feeds) continue;
      for (uint32_t next = j + 1; next < end; ++next) {
        const float factor = u[static_cast<size_t>(j) * columns + next];
        float* into = &panel[static_cast<size_t>(next) * rows];
        for (uint32_t i = 0; i < rows; ++i) into[i] -= factor * e[i];
      }
    }
    if (!feeds || end == columns) continue;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, static_cast<int>(columns - end), static_cast<int>(rows),
                static_cast<int>(end - begin), -1.0f, u + static_cast<size_t>(begin) * columns + end, static_cast<int>(columns),
                errors.data(), static_cast<int>(rows), 1.0f, &panel[static_cast<size_t>(end) * rows], static_cast<int>(rows));
  }
  pass->error[tile] = total_error;
}

Quantized Quantizer::Quantize(double step) const {
  Quantized best;
  best.matrix.grid = grid_;
  best.matrix.grid.step = spread_ > 0 ? static_cast<float>(step) : 0.0f;
  best.matrix.integers.assign(static_cast<size_t>(grid_.rows) * grid_.columns, 0);
  if (!(spread_ > 0)) {  // nothing but zeros
    best.matrix.tables.assign(static_cast<size_t>(grid_.tables()), coding::FrequencyTable::Fit({1.0}));
    return best;
  }
  std::vector<double> spreads = context_spread_;
  for (double& spread : spreads) spread /= best.matrix.grid.step;
  std::vector<float> rates = FirstRates(settings_.dependent, spreads);
  double least = 0;
  for (int round = 0; round < settings_.rounds; ++round) {
    Pass pass;
    pass.step = best.matrix.grid.step;
    pass.rates = rates.data();
    pass.integers.resize(best.matrix.integers.size());
    pass.counts.resize(grid_.tiles());
    pass.error.resize(grid_.tiles());
    (void)ParallelFor(settings_.threads, grid_.tiles(), [&](uint64_t tile) {
      RunTile(static_cast<uint32_t>(tile), &pass);
      return absl::OkStatus();
    });
    Round result;
    for (const double error : pass.error) result.error += error;
    std::vector<coding::FrequencyTable> tables;
    for (int t = 0; t < grid_.tables(); ++t) {
      std::vector<double> counts(kHistogram);
      for (const std::vector<double>& tile : pass.counts) {
        for (size_t k = 0; k < kHistogram; ++k) counts[k] += tile[static_cast<size_t>(t) * kHistogram + k];
      }
      tables.push_back(coding::FrequencyTable::Fit(counts));
      for (size_t k = 0; k < kHistogram; ++k) {
        if (counts[k] > 0) result.bits += counts[k] * tables.back().bits(static_cast<int32_t>(k));
        if (k < kRateWidth) Anticipate(ChoosingBits(tables.back(), static_cast<int>(k)), round, &rates[static_cast<size_t>(t) * kRateWidth + k]);
      }
    }
    result.potential = result.error + settings_.price * result.bits;
    result.kept = round == 0 || result.potential < least;
    best.rounds.push_back(result);
    if (!result.kept) break;
    least = result.potential;
    best.matrix.integers = std::move(pass.integers);
    best.matrix.tables = std::move(tables);
  }
  return best;
}

}  // namespace nashswarm::nsq

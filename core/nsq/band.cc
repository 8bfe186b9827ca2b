#include "core/nsq/band.h"

#include <algorithm>
#include <cstring>

namespace nashswarm::nsq {

Lanes::Lanes(uint32_t rows)
    : values(size_t{rows} * kLanes),
      row_class(size_t{rows} * kLanes),
      integers(size_t{rows} * kLanes),
      errors(size_t{rows} * kLanes),
      cells_(size_t{rows} * kLanes) {
  problem.values = values.data();
  problem.row_class = row_class.data();
  problem.rows = static_cast<int>(rows);
}

void Lanes::Choose(const ChoiceRates& rates, Tally* tally) {
  problem.rates = &rates;
  ColumnsChoice choice{integers.data(), errors.data(), cells_.data()};
  ChooseColumns(problem, &scratch_, &choice);
  std::copy(choice.squared_error, choice.squared_error + kLanes, squared_error);
  uint32_t* counts = tally->counts.data();
  for (const uint32_t cell : cells_) ++counts[cell];
}

namespace {

// Columns loaded at a time: two cache lines of a row.
constexpr uint32_t kStrip = 32;

// A strip of columns of a band, kLanes of them together.
class Strip {
 public:
  Strip(const Turn& turn, absl::Span<const uint32_t> rows) : turn_(turn), rows_(rows), values_(rows.size() * kStrip) {
    for (const uint32_t row : rows) row_factor_.push_back(turn.board.row_inverse[row] * turn.inverse_step);
  }

  void Load(uint32_t begin, uint32_t count) {
    if (count < kStrip) std::fill(values_.begin(), values_.end(), 0.0f);
    const float* inverse = turn_.board.column_inverse.data() + begin;
    for (size_t i = 0; i < rows_.size(); ++i) {
      const float* from = turn_.board.weights + size_t{rows_[i]} * turn_.board.grid.columns + begin;
      for (uint32_t c = 0; c < count; ++c) values_[At(i, c)] = from[c] * row_factor_[i] * inverse[c];
    }
  }

  const float* Lane(uint32_t group) const { return &values_[size_t{group} * kLanes * rows_.size()]; }

 private:
  size_t At(size_t row, uint32_t column) const {
    return (column / kLanes * rows_.size() + row) * kLanes + column % kLanes;
  }

  const Turn& turn_;
  absl::Span<const uint32_t> rows_;
  std::vector<float> row_factor_, values_;
};

void SetColumns(const Board& board, uint32_t begin, uint32_t count, Lanes* lanes) {
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    lanes->problem.lane_rows[lane] = lane < count ? lanes->problem.rows : 0;
    lanes->problem.column_class[lane] = lane < count ? board.grid.column_class[begin + lane] : 0;
    lanes->problem.price[lane] = lane < count ? board.column_price[begin + lane] : 0.0f;
  }
}

}  // namespace

void PlayAlone(const Turn& turn, uint32_t band, Tally* tally, double* error) {
  const Board& board = turn.board;
  const uint32_t columns = board.grid.columns;
  const absl::Span<const uint32_t> rows = turn.rows.OfBand(band);
  Lanes lanes(static_cast<uint32_t>(rows.size()));
  for (size_t i = 0; i < rows.size(); ++i) {
    std::fill_n(&lanes.row_class[i * kLanes], kLanes, board.grid.row_class[rows[i]]);
  }
  Strip strip(turn, rows);
  for (uint32_t begin = 0; begin < columns; begin += kLanes) {
    if (begin % kStrip == 0) strip.Load(begin, std::min(kStrip, columns - begin));
    const uint32_t count = std::min<uint32_t>(kLanes, columns - begin);
    lanes.problem.values = strip.Lane(begin % kStrip / kLanes);
    SetColumns(board, begin, count, &lanes);
    lanes.Choose(turn.rates, tally);
    for (uint32_t lane = 0; lane < count; ++lane) *error += lanes.squared_error[lane] * board.column_weight[begin + lane];
    if (turn.integers == nullptr) continue;
    for (size_t i = 0; i < rows.size(); ++i) {
      std::memcpy(turn.integers + size_t{rows[i]} * columns + begin, &lanes.integers[i * kLanes], count * sizeof(int32_t));
    }
  }
}

}  // namespace nashswarm::nsq

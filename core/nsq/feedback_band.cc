#include <cblas.h>

#include <algorithm>

#include "core/nsq/band.h"

namespace nashswarm::nsq {
namespace {

// Columns whose errors are gathered before they are fed to all columns after them in one matrix product.
constexpr uint32_t kBlock = 32;

// A band as a panel of columns, each contiguous, and the errors of the columns of one block.
class Panel {
 public:
  Panel(const Turn& turn, absl::Span<const uint32_t> rows)
      : board_(turn.board),
        columns_(turn.board.grid.columns),
        rows_(static_cast<uint32_t>(rows.size())),
        values_(size_t{columns_} * rows_),
        errors_(size_t{kBlock} * rows_),
        integers_(turn.integers == nullptr ? 0 : size_t{kBlock} * rows_) {
    for (uint32_t i = 0; i < rows_; ++i) {
      const float* from = board_.weights + size_t{rows[i]} * columns_;
      const float factor = board_.row_inverse[rows[i]] * turn.inverse_step;
      for (uint32_t j = 0; j < columns_; ++j) values_[size_t{j} * rows_ + i] = from[j] * factor;
    }
  }

  uint32_t rows() const { return rows_; }

  // Column j, after the errors of those before it in its block, into one lane; in units of its own step.
  void Give(uint32_t j, float* lane) {
    const uint32_t begin = j / kBlock * kBlock;
    float* column = &values_[size_t{j} * rows_];
    FeedErrors(errors_.data(), board_.factor + size_t{begin} * columns_ + j, columns_, static_cast<int>(j - begin),
               static_cast<int>(rows_), column);
    const float inverse = board_.column_inverse[j];
    for (uint32_t i = 0; i < rows_; ++i) lane[size_t{i} * kLanes] = column[i] * inverse;
  }

  void Take(uint32_t j, const float* errors, const int32_t* integers) {
    const float scale = board_.column_inverse[j] == 0.0f
                            ? 0.0f
                            : 1.0f / (board_.column_inverse[j] * board_.factor[size_t{j} * columns_ + j]);
    float* to = &errors_[size_t{j % kBlock} * rows_];
    for (uint32_t i = 0; i < rows_; ++i) to[i] = errors[size_t{i} * kLanes] * scale;
    if (integers_.empty()) return;
    int32_t* kept = &integers_[size_t{j % kBlock} * rows_];
    for (uint32_t i = 0; i < rows_; ++i) kept[i] = integers[size_t{i} * kLanes];
  }

  // After the last column of a block.
  void EndBlock(uint32_t begin, uint32_t end, int32_t* first_row) {
    if (first_row != nullptr) {
      for (uint32_t i = 0; i < rows_; ++i) {
        int32_t* row = first_row + size_t{i} * columns_ + begin;
        for (uint32_t j = begin; j < end; ++j) row[j - begin] = integers_[size_t{j - begin} * rows_ + i];
      }
    }
    if (end == columns_) return;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, static_cast<int>(columns_ - end), static_cast<int>(rows_),
                static_cast<int>(end - begin), -1.0f, board_.factor + size_t{begin} * columns_ + end,
                static_cast<int>(columns_), errors_.data(), static_cast<int>(rows_), 1.0f, &values_[size_t{end} * rows_],
                static_cast<int>(rows_));
  }

 private:
  const Board& board_;
  uint32_t columns_, rows_;
  std::vector<float> values_;     // [column][row], row scales taken out
  std::vector<float> errors_;     // [column of the block][row], as they are fed on
  std::vector<int32_t> integers_;
};

Lanes MakeLanes(const Turn& turn, uint32_t first, const std::vector<Panel>& panels) {
  Lanes lanes(panels.front().rows());  // the longest
  for (size_t lane = 0; lane < panels.size(); ++lane) {
    const absl::Span<const uint32_t> rows = turn.rows.OfBand(first + static_cast<uint32_t>(lane));
    lanes.problem.lane_rows[lane] = static_cast<int>(rows.size());
    for (size_t i = 0; i < rows.size(); ++i) lanes.row_class[i * kLanes + lane] = turn.board.grid.row_class[rows[i]];
  }
  return lanes;
}

}  // namespace

void PlayWithFeedback(const Turn& turn, uint32_t first, uint32_t count, Tally* tally, double* errors) {
  const Board& board = turn.board;
  const uint32_t columns = board.grid.columns;
  std::vector<Panel> panels;
  for (uint32_t b = 0; b < count; ++b) panels.emplace_back(turn, turn.rows.OfBand(first + b));
  Lanes lanes = MakeLanes(turn, first, panels);
  for (uint32_t j = 0; j < columns; ++j) {
    std::fill_n(lanes.problem.column_class, kLanes, int32_t{board.grid.column_class[j]});
    std::fill_n(lanes.problem.price, kLanes, board.column_price[j]);
    for (uint32_t b = 0; b < count; ++b) panels[b].Give(j, &lanes.values[b]);
    lanes.Choose(turn.rates, tally);
    const bool block_ends = (j + 1) % kBlock == 0 || j + 1 == columns;
    for (uint32_t b = 0; b < count; ++b) {
      errors[b] += lanes.squared_error[b] * board.column_weight[j];
      panels[b].Take(j, &lanes.errors[b], &lanes.integers[b]);
      if (!block_ends) continue;
      int32_t* to = turn.integers == nullptr ? nullptr : turn.integers + size_t{turn.rows.OfBand(first + b).front()} * columns;
      panels[b].EndBlock(j / kBlock * kBlock, j + 1, to);
    }
  }
}

}  // namespace nashswarm::nsq

#include "core/calibrate/matrix_loss.h"

#include <algorithm>
#include <cmath>

#include "core/forward/transformer.h"

namespace nashswarm::calibrate {
namespace {

// Rows that the calibration text never used may still be used: every row counts at least this share of the mean one.
constexpr float kLeastRowShare = 0.05f;
// Without Fisher information a row of a vocabulary counts as often as its token occurs, and tokens never seen like a quarter
// of an even share. Tempered by this power, since a few thousand tokens say little about the rare ones.
constexpr double kUnseenShare = 0.25, kCountPower = 0.75;
constexpr double kDamping = 0.01;

using Matrix = std::vector<float>;  // width x width

std::vector<float> Tempered(std::vector<float> rows) {
  double mean = 0;
  for (const float row : rows) mean += row / static_cast<double>(rows.size());
  if (!(mean > 0)) return {};
  for (float& row : rows) row = static_cast<float>(row / mean) + kLeastRowShare;
  return rows;
}

std::vector<float> FromCounts(std::vector<float> counts) {
  double total = 0;
  for (const float count : counts) total += count;
  if (!(total > 0)) return {};
  const double unseen = kUnseenShare / static_cast<double>(counts.size());
  for (float& count : counts) count = static_cast<float>(std::pow(count / total + unseen, kCountPower));
  return Tempered(std::move(counts));
}

double MeanDiagonal(const Matrix& matrix, uint64_t width) {
  double sum = 0;
  for (uint64_t i = 0; i < width; ++i) sum += matrix[i * width + i];
  return sum / static_cast<double>(std::max<uint64_t>(width, 1));
}

// The upper left width x width of a wider matrix: what padding added is zero.
Matrix Cropped(const Matrix& matrix, uint64_t from_width, uint64_t width) {
  Matrix cropped(width * width);
  for (uint64_t r = 0; r < width; ++r) std::copy_n(&matrix[r * from_width], width, &cropped[r * width]);
  return cropped;
}

class Builder {
 public:
  Builder(const model::MappedTensor& tensor, bool tied_head, const Moments& moments)
      : tensor_(tensor), moments_(moments), width_(tensor.source_row_weights),
        input_(forward::InputOf(tensor.name, tied_head)),
        is_table_(tensor.role == model::Role::kTokenEmbedding || tensor.role == model::Role::kPositionEmbedding) {}

  nsq::MatrixLoss Build() const {
    nsq::MatrixLoss loss;
    if (input_.empty()) {
      if (is_table_) BuildTable(&loss);
    } else if (is_table_) {
      BuildTied(&loss);
    } else {
      BuildProduct(&loss);
    }
    return loss;
  }

 private:
  void BuildProduct(nsq::MatrixLoss* loss) const {
    if (tensor_.row_weights == width_) {
      loss->moment = moments_.Full(input_);
    } else if (const Matrix h = moments_.FullMatrix(input_); !h.empty()) {
      loss->moment = feedback::Moment::Make(Cropped(h, tensor_.row_weights, width_), width_, kDamping);
    }
    if (loss->moment == nullptr) {
      loss->importance = moments_.Diagonal(input_);
      loss->importance.resize(std::min<size_t>(loss->importance.size(), width_));
    }
    loss->row_weights = Tempered(Rows(kRowsOf));
    if (loss->row_weights.empty() && tensor_.role == model::Role::kOutput) loss->row_weights = CountedRows();
  }

  void BuildTable(nsq::MatrixLoss* loss) const {
    if (const Matrix table = moments_.FullMatrix(kTableOf + tensor_.name); table.size() == width_ * width_) {
      loss->moment = feedback::Moment::Make(table, width_, kDamping);
    }
    loss->row_weights = Tempered(Rows(kTableRowsOf));
    if (loss->row_weights.empty() && tensor_.role == model::Role::kTokenEmbedding) loss->row_weights = CountedRows();
  }

  // The curvature of row v is P_v H + f_v F; H and F the moments, P_v and f_v the rows' weights in either use. Taken as one
  // moment times one weight: the sums over rows, and over columns.
  void BuildTied(nsq::MatrixLoss* loss) const {
    Matrix head = moments_.FullMatrix(input_);
    if (head.size() != width_ * width_) {
      loss->importance = moments_.Diagonal(input_);
      loss->row_weights = CountedRows();
      return;
    }
    const std::vector<float> rows = Rows(kRowsOf), table_rows = Rows(kTableRowsOf);
    const Matrix table = moments_.FullMatrix(kTableOf + tensor_.name);
    const double scale = MeanDiagonal(head, width_);
    if (rows.empty() || table_rows.size() != rows.size() || table.size() != head.size()) {
      // Nothing is known of the table's use but that its rows are looked up: an even error in all columns.
      constexpr float kTableShare = 0.3f;
      for (uint64_t i = 0; i < width_; ++i) head[i * width_ + i] += static_cast<float>(kTableShare * scale);
      loss->row_weights = CountedRows();
    } else {
      double uses = 0;
      for (const float row : rows) uses += row;
      for (size_t i = 0; i < head.size(); ++i) head[i] = static_cast<float>(uses * head[i] + table[i]);
      std::vector<float> both(rows.size());
      for (size_t v = 0; v < rows.size(); ++v) both[v] = static_cast<float>(rows[v] * scale + table_rows[v]);
      loss->row_weights = Tempered(std::move(both));
    }
    loss->moment = feedback::Moment::Make(head, width_, kDamping);
  }

  std::vector<float> Rows(const char* kind) const {
    const std::vector<float> rows = moments_.Vector(kind + tensor_.name);
    return rows.size() == tensor_.rows ? model::RowWeightsInCheckpointOrder(tensor_, rows) : std::vector<float>();
  }
  std::vector<float> CountedRows() const {
    std::vector<float> counts = moments_.TokenCounts();
    return counts.size() == tensor_.rows ? FromCounts(std::move(counts)) : std::vector<float>();
  }

  const model::MappedTensor& tensor_;
  const Moments& moments_;
  uint64_t width_;
  std::string input_;
  bool is_table_;
};

}  // namespace

nsq::MatrixLoss MatrixLossOf(const model::MappedTensor& tensor, bool tied_head, const Moments* moments) {
  if (moments == nullptr || !tensor.is_player()) return {};
  nsq::MatrixLoss loss = Builder(tensor, tied_head, *moments).Build();
  if (loss.importance.size() != tensor.source_row_weights) loss.importance.clear();
  return loss;
}

}  // namespace nashswarm::calibrate

#include "core/forward/fisher_sums.h"

#include <algorithm>
#include <utility>

#include "core/base/checked.h"
#include "core/forward/linear.h"

namespace nashswarm::forward {
namespace {

// Columns that a thread sums at a time: a few cache lines of a row.
constexpr uint64_t kColumns = 128;
// Rows of the moment a thread makes at a time, and tokens a float product runs over before it is added up in double.
constexpr uint64_t kTileRows = 128, kTokenBlock = 1024;
// Wider tables have no moment: it would be more than 2 GiB of doubles.
constexpr uint64_t kMaxMomentWidth = 16384;

}  // namespace

FisherSums::FisherSums(const ModelConfig& config, ThreadPool& pool, std::string head)
    : config_(config), pool_(pool), head_(std::move(head)), token_rows_(config.vocabulary), products_(pool.threads()) {
  if (config.embedding.learned_positions) position_rows_.resize(config.context);
  if (config.width <= kMaxMomentWidth) moment_.resize(config.width * config.width);
}

void FisherSums::Start(absl::Span<const int32_t> tokens, uint64_t length) {
  tokens_ = tokens;
  length_ = length;
  done_ += tokens.size();
}

template <typename Of>
void FisherSums::AddColumns(const TokenRows& rows, Of of, std::vector<double>* sum) {
  sum->resize(rows.width);
  pool_.Run(DivideUp(rows.width, kColumns), [&](uint64_t i, int) {
      const uint64_t begin = i * kColumns, end = std::min(rows.width, begin + kColumns);
      for (uint64_t t = 0; t < rows.tokens; ++t) {
        const float* row = rows.data + t * rows.stride;
        for (uint64_t c = begin; c < end; ++c) (*sum)[c] += of(static_cast<double>(row[c]));
      }
      return absl::OkStatus();
    }).IgnoreError();
}

void FisherSums::Output(const std::string& tensor, const TokenRows& gradients) {
  AddColumns(gradients, [](double g) { return g * g; }, &rows_[tensor]);
}

void FisherSums::Probabilities(const TokenRows& probabilities) {
  AddColumns(probabilities, [](double p) { return p * (1 - p); }, &rows_[head_]);
}

void FisherSums::Embedding(const TokenRows& gradients) {
  AddTableRows(gradients);
  if (!moment_.empty()) AddMoment(gradients);
}

void FisherSums::AddTableRows(const TokenRows& gradients) {
  for (uint64_t t = 0; t < gradients.tokens; ++t) {
    const float* g = gradients.data + t * gradients.stride;
    double square = 0;
    for (uint64_t i = 0; i < gradients.width; ++i) square += static_cast<double>(g[i]) * g[i];
    square /= static_cast<double>(gradients.width);
    token_rows_[static_cast<size_t>(tokens_[gradients.first + t])] += square;
    if (!position_rows_.empty()) position_rows_[(gradients.first + t) % length_] += square;
  }
}

void FisherSums::AddMoment(const TokenRows& gradients) {
  const uint64_t width = gradients.width, tiles = DivideUp(width, kTileRows);
  pool_.Run(tiles, [&](uint64_t i, int thread) {
      const uint64_t first = (tiles - 1 - i) * kTileRows;  // the longest rows first
      const uint64_t rows = std::min(kTileRows, width - first), columns = first + rows;
      std::vector<float>& product = products_[thread];
      product.resize(std::max<size_t>(product.size(), rows * columns));
      for (uint64_t t = 0; t < gradients.tokens; t += kTokenBlock) {
        const float* block = gradients.data + t * gradients.stride;
        TransposedMultiply(rows, columns, std::min(kTokenBlock, gradients.tokens - t), block + first, gradients.stride, block,
                           gradients.stride, 0, product.data(), columns);
        for (uint64_t r = 0; r < rows; ++r) {
          double* out = moment_.data() + (first + r) * width;
          for (uint64_t c = 0; c <= first + r; ++c) out[c] += product[r * columns + c];
        }
      }
      return absl::OkStatus();
    }).IgnoreError();
}

std::vector<float> FisherSums::Means(const std::vector<double>& sums) const {
  const double count = static_cast<double>(std::max<uint64_t>(done_, 1));
  std::vector<float> means;
  means.reserve(sums.size());
  for (const double sum : sums) means.push_back(static_cast<float>(sum / count));
  return means;
}

Fisher::Table FisherSums::TableOf(const std::vector<double>& rows) const {
  const uint64_t width = config_.width;
  Fisher::Table table{Means(rows), Means(moment_)};
  for (uint64_t r = 0; r < width && !moment_.empty(); ++r) {
    for (uint64_t c = 0; c < r; ++c) table.moment[c * width + r] = table.moment[r * width + c];
  }
  return table;
}

Fisher FisherSums::Take() {
  Fisher fisher;
  fisher.tokens = done_;
  for (const auto& [tensor, sums] : rows_) fisher.rows[tensor] = Means(sums);
  fisher.tables["token_embd.weight"] = TableOf(token_rows_);
  if (!position_rows_.empty()) fisher.tables["position_embd.weight"] = TableOf(position_rows_);
  return fisher;
}

}  // namespace nashswarm::forward

#include "core/feedback/panel.h"

#include <algorithm>

#include "core/feedback/product.h"
#include "core/feedback/rescale.h"

namespace nashswarm::feedback {
namespace {

// Columns that feed all columns outside at once, in one product; a whole number of blocks of every format.
constexpr int kSlab = 256;

uint8_t LevelNumber(const quant::Grid& grid, float value) {
  if (grid.codebook == nullptr) return static_cast<uint8_t>(value - grid.lo);
  const float* levels = grid.codebook->level;
  return static_cast<uint8_t>(std::find(levels, levels + grid.codebook->size - 1, value) - levels);
}

}  // namespace

Panel::Panel(quant::Format format, const Moment& moment, int sweeps)
    : format_(format), shape_(quant::ShapeOf(format)), moment_(moment), sweeps_(sweeps) {
  const size_t size = moment.width() * kPanelRows;
  x_.resize(size);
  value_.resize(size);
  decoded_.resize(size);
  change_.resize(size);
  scales_.resize(size / shape_.weights);
  gathered_.resize(static_cast<size_t>(kPanelRows) * shape_.weights);
  importance_.resize(gathered_.size());
  // An error e of column j costs (e / U_jj)^2 once the columns after it have made up for what they can.
  for (uint64_t j = 0; j < moment.width(); ++j) {
    const float u = moment.factor()[j * moment.width() + j];
    column_importance_.push_back(moment.diagonal()[j] > 0.0f ? 1.0f / (u * u) : 0.0f);
  }
}

int Panel::rows_at_once() const { return kPanelRows - 2 * PanelMargin(); }

void Panel::Encode(const float* weights, int rows, uint8_t* out) {
  rows_ = rows;
  Load(weights);
  RoundAll();
  if (sweeps_ > 0) {
    Gradient(weights);
    RefineAll();
  }
  Pack(out);
}

float Panel::DecodedAt(int row, int column) const {
  return decoded_[static_cast<size_t>(column) * kPanelRows + PanelMargin() + row];
}

void Panel::Load(const float* weights) {
  std::fill(x_.begin(), x_.end(), 0.0f);
  for (int row = 0; row < rows_; ++row) {
    const float* from = weights + static_cast<size_t>(row) * width();
    for (int j = 0; j < width(); ++j) Column(x_, j)[PanelMargin() + row] = from[j];
  }
}

void Panel::RoundAll() {
  const float* u = moment_.factor().data();
  const auto feed = [&](int from, int to, int end) {  // the errors of columns from..to to columns to..end
    SubtractProduct(u + static_cast<size_t>(from) * width() + to, width(), to - from, end - to, Column(change_, from),
                    Column(x_, to));
  };
  for (int slab = 0; slab < width(); slab += kSlab) {
    const int end = std::min(slab + kSlab, width());
    for (int first = slab; first < end; first += kStrip) {
      if (first % shape_.weights == 0) ChooseBlockScales(first);
      Strip strip = StripAt(first, moment_.factor(), 0.0f);
      ActiveKernels().round(strip);
      feed(first, first + kStrip, end);
    }
    feed(slab, end, width());
  }
}

// The scales of the block that begins at column `first`, for the weights as corrected so far.
void Panel::ChooseBlockScales(int first) {
  const int size = shape_.weights;
  for (int row = 0; row < rows_; ++row) {
    for (int i = 0; i < size; ++i) gathered_[row * size + i] = Column(x_, first + i)[PanelMargin() + row];
    std::copy_n(column_importance_.begin() + first, size, importance_.begin() + row * size);
  }
  const size_t count = static_cast<size_t>(rows_) * size;
  const quant::Row blocks = {absl::MakeConstSpan(gathered_.data(), count),
                             absl::MakeConstSpan(importance_.data(), count)};
  quant::BlockScales* scales = &ScalesAt(PanelMargin(), first / size);
  for (int row = 0; row < rows_;) row += quant::ChooseScales(format_, blocks, row, scales + row);
}

// x = (weights - decoded) (H + damping).
void Panel::Gradient(const float* weights) {
  std::vector<float>& error = change_;  // with the sign turned: the product is subtracted
  std::fill(error.begin(), error.end(), 0.0f);
  for (int row = 0; row < rows_; ++row) {
    const float* from = weights + static_cast<size_t>(row) * width();
    const int at = PanelMargin() + row;
    for (int j = 0; j < width(); ++j) Column(error, j)[at] = Column(decoded_, j)[at] - from[j];
  }
  for (size_t i = 0; i < x_.size(); ++i) x_[i] = -moment_.added() * error[i];
  SubtractProduct(moment_.h().data(), width(), width(), width(), error.data(), x_.data());
  std::fill(change_.begin(), change_.end(), 0.0f);
}

void Panel::RefineAll() {
  const float* h = moment_.h().data();
  // The changes of columns from..to to columns begin..end.
  const auto feed = [&](int from, int to, int begin, int end) {
    SubtractProduct(h + static_cast<size_t>(from) * width() + begin, width(), to - from, end - begin,
                    Column(change_, from), Column(x_, begin));
  };
  for (int sweep = 1; sweep <= sweeps_; ++sweep) {
    const bool comes_back = sweep < sweeps_;  // to the columns before
    for (int slab = 0; slab < width(); slab += kSlab) {
      const int end = std::min(slab + kSlab, width());
      for (int first = slab; first < end; first += kStrip) {
        Strip strip = StripAt(first, moment_.h(), moment_.added());
        ImproveStripScales(first, strip);
        ActiveKernels().refine(strip);
        if (comes_back) feed(first, first + kStrip, slab, first);
        feed(first, first + kStrip, first + kStrip, end);
      }
      if (comes_back) feed(slab, end, 0, slab);
      feed(slab, end, end, width());
      std::fill(Column(change_, slab), Column(change_, end), 0.0f);
    }
  }
}

void Panel::ImproveStripScales(int first, Strip& strip) {
  for (int sub = 0; sub < strip.subs; ++sub) {
    SubSums sums;
    ActiveKernels().sum(strip, sub, sums);
    for (int lane = PanelMargin(); lane < PanelMargin() + rows_; ++lane) {
      ImproveScales(shape_, sums, lane, SubAt(first) + sub, ScalesAt(lane, first / shape_.weights));
    }
  }
  LoadScales(first, strip);
  ActiveKernels().rescale(strip);
}

Strip Panel::StripAt(int first, absl::Span<const float> matrix, float added) {
  Strip strip;
  strip.grid = shape_.grid;
  strip.subs = kStrip / shape_.sub_weights();
  strip.stride = moment_.width();
  strip.matrix = matrix.data() + first * strip.stride + first;
  strip.added = added;
  for (int j = 0; j < kStrip; ++j) strip.unit[j] = 1.0f / (strip.matrix[j * strip.stride + j] + added);
  strip.x = Column(x_, first);
  strip.value = Column(value_, first);
  strip.decoded = Column(decoded_, first);
  strip.change = Column(change_, first);
  LoadScales(first, strip);
  return strip;
}

void Panel::LoadScales(int first, Strip& strip) {
  for (int sub = 0; sub < strip.subs; ++sub) {
    for (int lane = 0; lane < kPanelRows; ++lane) {
      const quant::BlockScales& scales = ScalesAt(lane, first / shape_.weights);
      const float scale = scales.ScaleOf(SubAt(first) + sub);
      strip.scale[sub][lane] = scale;
      strip.inverse[sub][lane] = scale == 0.0f ? 0.0f : 1.0f / scale;
      strip.min[sub][lane] = scales.MinOf(SubAt(first) + sub);
    }
  }
}

void Panel::Pack(uint8_t* out) {
  const int size = shape_.weights;
  uint8_t levels[256];
  for (int row = 0; row < rows_; ++row) {
    for (int first = 0; first < width(); first += size) {
      for (int i = 0; i < size; ++i) {
        levels[i] = LevelNumber(shape_.grid, Column(value_, first + i)[PanelMargin() + row]);
      }
      quant::PackBlock(format_, ScalesAt(PanelMargin() + row, first / size), levels, out);
      out += quant::InfoOf(format_).block_bytes;
    }
  }
}

}  // namespace nashswarm::feedback

// A panel: rows that are encoded side by side, column after column. Internal to core/feedback.
#ifndef NASHSWARM_CORE_FEEDBACK_PANEL_H_
#define NASHSWARM_CORE_FEEDBACK_PANEL_H_

#include <cstdint>
#include <vector>

#include "core/feedback/feedback.h"
#include "core/feedback/kernels.h"
#include "core/quant/scales.h"

namespace nashswarm::feedback {

// Passes of coordinate descent after the rounding. On real weights the first took 4 to 15 % off tr(E H E^T), the second
// 1 to 4 %, the third and fourth together 0.4 to 3 %; each costs about as much as the rounding itself.
constexpr int kSweeps = 2;

// Encodes up to rows_at_once() rows at a time. Holds 2 KiB a column of the moment, and the scales. One thread at a
// time.
class Panel {
 public:
  // `format` has blocks that fit the moment's width; the moment must outlive the panel.
  Panel(quant::Format format, const Moment& moment, int sweeps = kSweeps);
  int rows_at_once() const;
  void Encode(const float* weights, int rows, uint8_t* out);
  // What the panel takes weight `column` of row `row` of the last call to decode to.
  float DecodedAt(int row, int column) const;

 private:
  int width() const { return static_cast<int>(moment_.width()); }
  float* Column(std::vector<float>& values, int j) { return values.data() + static_cast<size_t>(j) * kPanelRows; }
  quant::BlockScales& ScalesAt(int lane, int block) { return scales_[static_cast<size_t>(block) * kPanelRows + lane]; }
  // Number of the block's sub-block that begins at column `first` of the row.
  int SubAt(int first) const { return first % shape_.weights / shape_.sub_weights(); }

  void Load(const float* weights);
  // First pass: every column rounded once, its error fed to the columns after it.
  void RoundAll();
  void ChooseBlockScales(int first);
  // Second pass: coordinate descent over scales and levels.
  void RefineAll();
  void Gradient(const float* weights);
  void ImproveStripScales(int first, Strip& strip);
  void Pack(uint8_t* out);

  Strip StripAt(int first, absl::Span<const float> matrix, float added);
  void LoadScales(int first, Strip& strip);

  const quant::Format format_;
  const quant::BlockShape& shape_;
  const Moment& moment_;
  const int sweeps_;
  int rows_ = 0;
  // Column after column, kPanelRows numbers each; the names are those of Strip.
  std::vector<float> x_, value_, decoded_, change_;
  std::vector<quant::BlockScales> scales_;    // block after block, one for each row
  std::vector<float> column_importance_;      // of a rounding error that the columns after it make up for as they can
  std::vector<float> gathered_, importance_;  // a block of each row, one after the other, and the importance
};

}  // namespace nashswarm::feedback

#endif  // NASHSWARM_CORE_FEEDBACK_PANEL_H_

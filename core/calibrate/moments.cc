#include "core/calibrate/moments.h"

#include <cblas.h>

#include <algorithm>
#include <cstring>

#include "core/base/parallel.h"
#include "core/base/status.h"

namespace nashswarm::calibrate {
namespace {

// Rows of the moment a thread makes at a time, and tokens a float product runs over before it is added up in double.
constexpr uint64_t kTileRows = 128, kTokenBlock = 1024;

uint64_t Packed(uint64_t width) { return width * (width + 1) / 2; }

// Rows [first, first + rows) of the lower triangle of x^T x, over `tokens` tokens.
void AddTile(const float* x, uint64_t tokens, uint64_t width, uint64_t first, uint64_t rows, double* sum) {
  const uint64_t columns = first + rows;  // what of these rows lies on or below the diagonal
  std::vector<float> product(rows * columns);
  for (uint64_t t = 0; t < tokens; t += kTokenBlock) {
    const uint64_t count = std::min(kTokenBlock, tokens - t);
    const float* block = x + t * width;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, static_cast<int>(rows), static_cast<int>(columns),
                static_cast<int>(count), 1, block + first, static_cast<int>(width), block, static_cast<int>(width), 0,
                product.data(), static_cast<int>(columns));
    for (uint64_t r = 0; r < rows; ++r) {
      double* out = sum + (first + r) * width;
      for (uint64_t c = 0; c <= first + r; ++c) out[c] += product[r * columns + c];
    }
  }
}

void AddDiagonal(const float* x, uint64_t tokens, uint64_t width, double* sum) {
  for (uint64_t t = 0; t < tokens; ++t) {
    for (uint64_t c = 0; c < width; ++c) sum[c] += static_cast<double>(x[t * width + c]) * x[t * width + c];
  }
}

}  // namespace

void MomentCollector::Input(const std::string& input, const float* x, uint64_t tokens, uint64_t width) {
  Sum& sum = sums_[input];
  if (sum.width == 0) {
    sum.width = width;
    sum.full = width <= max_full_width_;
    sum.values.assign(sum.full ? width * width : width, 0);
  }
  sum.tokens += tokens;
  if (!sum.full) return AddDiagonal(x, tokens, width, sum.values.data());
  const uint64_t tiles = (width + kTileRows - 1) / kTileRows;
  (void)ParallelFor(threads_, tiles, [&](uint64_t tile) {
    const uint64_t first = (tiles - 1 - tile) * kTileRows;  // the longest rows first
    AddTile(x, tokens, width, first, std::min(kTileRows, width - first), sum.values.data());
    return absl::OkStatus();
  });
}

InputMoment MomentCollector::Take(const std::string& input) {
  const auto it = sums_.find(input);
  if (it == sums_.end()) return {};
  const Sum& sum = it->second;
  const double scale = 1.0 / static_cast<double>(std::max<uint64_t>(sum.tokens, 1));
  InputMoment moment{sum.width, sum.full, {}};
  if (sum.full) {
    moment.values.reserve(Packed(sum.width));
    for (uint64_t r = 0; r < sum.width; ++r) {
      for (uint64_t c = 0; c <= r; ++c) moment.values.push_back(static_cast<float>(sum.values[r * sum.width + c] * scale));
    }
  } else {
    for (const double value : sum.values) moment.values.push_back(static_cast<float>(value * scale));
  }
  sums_.erase(it);
  return moment;
}

uint64_t MomentCollector::Tokens(const std::string& input) const {
  const auto it = sums_.find(input);
  return it == sums_.end() ? 0 : it->second.tokens;
}

std::vector<float> Unpack(const InputMoment& moment) {
  std::vector<float> h(moment.width * moment.width);
  const float* value = moment.values.data();
  for (uint64_t r = 0; r < moment.width; ++r) {
    for (uint64_t c = 0; c <= r; ++c, ++value) h[r * moment.width + c] = h[c * moment.width + r] = *value;
  }
  return h;
}

std::vector<float> DiagonalOf(const InputMoment& moment) {
  if (!moment.full) return moment.values;
  std::vector<float> diagonal(moment.width);
  for (uint64_t r = 0; r < moment.width; ++r) diagonal[r] = moment.values[Packed(r) + r];
  return diagonal;
}

absl::StatusOr<std::unique_ptr<Moments>> Moments::Open(const std::string& path, size_t ready) {
  auto moments = std::make_unique<Moments>();
  moments->ready_ = std::max<size_t>(ready, 1);
  NS_ASSIGN_OR_RETURN(moments->file_, MappedFile::Open(path));
  NS_ASSIGN_OR_RETURN(const checkpoint::SafetensorsHeader header,
                      checkpoint::ParseSafetensors(moments->file_->bytes(), kMomentsFile));
  const auto widths = header.metadata.find("widths");
  Json json = Json::object();
  if (widths != header.metadata.end()) {
    NS_ASSIGN_OR_RETURN(json, ParseJson(widths->second, kMomentsFile));
  }
  for (const checkpoint::TensorEntry& entry : header.tensors) {
    moments->entries_[entry.name] = entry;
    if (json.contains(entry.name)) moments->widths_[entry.name] = json[entry.name].get<uint64_t>();
  }
  return moments;
}

absl::Span<const uint8_t> Moments::BytesOf(const checkpoint::TensorEntry& entry) const {
  return file_->bytes().subspan(entry.begin, entry.end - entry.begin);
}

bool Moments::IsFull(const std::string& input) const {
  const auto it = widths_.find(input);
  if (it == widths_.end() || !Has(input)) return false;
  const uint64_t values = BytesOf(entries_.at(input)).size() / sizeof(float);
  return values != it->second && values == Packed(it->second);
}

InputMoment Moments::Load(const std::string& input) const {
  const checkpoint::TensorEntry& entry = entries_.at(input);
  const absl::Span<const uint8_t> bytes = BytesOf(entry);
  InputMoment moment;
  moment.values.resize(bytes.size() / sizeof(float));
  std::memcpy(moment.values.data(), bytes.data(), bytes.size());
  moment.width = widths_.at(input);
  moment.full = IsFull(input);
  return moment;
}

std::vector<float> Moments::Diagonal(const std::string& input) const {
  return Has(input) ? DiagonalOf(Load(input)) : std::vector<float>();
}

std::shared_ptr<const feedback::Moment> Moments::Full(const std::string& input) const {
  if (!Has(input)) return nullptr;
  std::shared_ptr<Ready> entry;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto it = std::find_if(recent_.begin(), recent_.end(), [&](const auto& recent) { return recent->input == input; });
    if (it != recent_.end()) {
      entry = *it;
      recent_.erase(it);
    } else {
      entry = std::make_shared<Ready>();
      entry->input = input;
      if (recent_.size() >= ready_) recent_.erase(recent_.begin());
    }
    recent_.push_back(entry);
  }
  std::call_once(entry->once, [&] {
    const InputMoment loaded = Load(input);
    if (loaded.full) entry->moment = feedback::Moment::Make(Unpack(loaded), loaded.width);
  });
  return entry->moment;
}

std::vector<float> Moments::Vector(const std::string& name) const {
  if (!Has(name)) return {};
  const absl::Span<const uint8_t> bytes = BytesOf(entries_.at(name));
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

std::vector<float> Moments::FullMatrix(const std::string& input) const {
  return IsFull(input) ? Unpack(Load(input)) : std::vector<float>();
}

std::vector<std::vector<int32_t>> Moments::Windows(const std::string& name) const {
  std::vector<std::vector<int32_t>> windows;
  if (!Has(name)) return windows;
  const checkpoint::TensorEntry& entry = entries_.at(name);
  const uint8_t* bytes = BytesOf(entry).data();
  for (uint64_t w = 0; w < entry.shape.at(0); ++w) {
    std::vector<int32_t> window(entry.shape.at(1));
    std::memcpy(window.data(), bytes + w * window.size() * sizeof(int32_t), window.size() * sizeof(int32_t));
    windows.push_back(std::move(window));
  }
  return windows;
}

}  // namespace nashswarm::calibrate

// Streams of matrices made by hand: every shape and kind comes back to the bit, and damage says where it is.
// (tests/unit/artifact/nsq_artifact_test.cc flips and cuts whole files; tests/unit/coding compares the decoders.)
#include "core/nsq/stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/base/half.h"
#include "core/base/parallel.h"
#include "core/coding/crc32.h"
#include "tests/unit/nsq/test_data.h"

namespace nashswarm::nsq {
namespace {

using ::testing::HasSubstr;

absl::Span<const uint8_t> AsBytes(const std::string& text) { return {reinterpret_cast<const uint8_t*>(text.data()), text.size()}; }
std::string Message(const absl::Status& status) { return std::string(status.message()); }

enum class Kind { kNormal, kZeros, kConstant, kOutliers };

int32_t Integer(Kind kind, std::mt19937& random) {
  switch (kind) {
    case Kind::kZeros: return 0;
    case Kind::kConstant: return -3;
    case Kind::kNormal: return static_cast<int32_t>(std::lround(std::normal_distribution<double>(0, 2)(random)));
    case Kind::kOutliers: {  // beyond what tables hold, up to the greatest there is
      const int32_t outliers[] = {121, -255, 4000, -100'000, 1 << 30, -(1 << 30)};
      return random() % 30 == 0 ? outliers[random() % std::size(outliers)] : static_cast<int32_t>(random() % 5) - 2;
    }
  }
  return 0;
}

void FitTables(Matrix* matrix) {
  constexpr size_t kMost = 512;
  const Grid& grid = matrix->grid;
  std::vector<double> counts(static_cast<size_t>(grid.tables()) * kMost);
  for (uint32_t tile = 0; tile < grid.tiles(); ++tile) {
    const size_t first = size_t{tile} * grid.tile_rows();
    const coding::TileClasses classes{absl::MakeConstSpan(grid.row_class).subspan(first, grid.RowsOf(tile)), grid.column_class};
    coding::CountMagnitudes({grid.RowsOf(tile), grid.columns}, &matrix->integers[first * grid.columns], classes, grid.dependent, kMost,
                            absl::MakeSpan(counts));
  }
  for (size_t at = 0; at < counts.size(); at += kMost) matrix->tables.push_back(coding::FrequencyTable::Fit({&counts[at], kMost}));
}

Matrix MakeMatrix(uint32_t rows, uint32_t columns, bool dependent, Kind kind) {
  std::mt19937 random(rows * 131 + columns);
  Matrix matrix;
  Grid& grid = matrix.grid;
  grid.rows = rows;
  grid.columns = columns;
  grid.dependent = dependent;
  grid.step = kind == Kind::kZeros ? 0.0f : 0.0371f;
  for (uint32_t c = 0; c < columns; ++c) {
    grid.column_scale.push_back(static_cast<int32_t>(random() % 40) - 20);
    grid.column_class.push_back(static_cast<uint8_t>(random() % 3));
  }
  for (uint32_t r = 0; r < rows; ++r) {
    grid.row_scale.push_back(static_cast<int32_t>(random() % 9) - 4);
    grid.row_class.push_back(static_cast<uint8_t>(random() % 2));
  }
  for (uint64_t i = 0; i < uint64_t{rows} * columns; ++i) matrix.integers.push_back(Integer(kind, random));
  FitTables(&matrix);
  return matrix;
}

std::vector<float> DecodeAll(const Stream& stream, int threads) {
  const Grid& grid = stream.grid();
  std::vector<float> out(size_t{grid.rows} * grid.columns, -77.0f);
  const absl::Status status = ParallelFor(threads, grid.tiles(), [&](uint64_t t) {
    return stream.DecodeTile(static_cast<uint32_t>(t), coding::Output::kF32, &out[t * grid.tile_rows() * grid.columns], grid.columns);
  });
  EXPECT_TRUE(status.ok()) << status;
  return out;
}

struct ShapeCase {
  uint32_t rows, columns;
};
// Rows and columns alone, sizes around the lanes of a tile and the rows it has at least, several tiles with a shorter last.
constexpr ShapeCase kShapes[] = {{1, 1}, {1, 2}, {2, 1}, {1, 331}, {331, 1}, {3, 5}, {31, 33},
                                 {64, 64}, {65, 127}, {7, 4099}, {130, 4099}, {201, 5000}};

TEST(StreamTest, EveryShapeAndKindComesBackToTheBit) {
  for (const ShapeCase& shape : kShapes) {
    for (const Kind kind : {Kind::kNormal, Kind::kZeros, Kind::kConstant, Kind::kOutliers}) {
      for (const bool dependent : {false, true}) {
        SCOPED_TRACE(testing::Message() << shape.rows << " x " << shape.columns << " kind " << static_cast<int>(kind) << ' ' << dependent);
        const Matrix matrix = MakeMatrix(shape.rows, shape.columns, dependent, kind);
        const auto bytes = Write(matrix, 1);
        ASSERT_TRUE(bytes.ok()) << bytes.status();
        EXPECT_EQ(*Write(matrix, 3), *bytes);
        const auto stream = Stream::Open(AsBytes(*bytes), shape.rows, shape.columns, "t");
        ASSERT_TRUE(stream.ok()) << stream.status();
        EXPECT_EQ(stream->grid().column_scale, matrix.grid.column_scale);
        EXPECT_EQ(stream->grid().row_scale, matrix.grid.row_scale);
        EXPECT_EQ(stream->grid().column_class, matrix.grid.column_class);
        EXPECT_EQ(stream->grid().row_class, matrix.grid.row_class);
        EXPECT_EQ(stream->grid().step, matrix.grid.step);
        EXPECT_EQ(stream->grid().dependent, dependent);
        EXPECT_TRUE(stream->tables() == absl::MakeConstSpan(matrix.tables));
        const std::vector<float> decoded = DecodeAll(*stream, 1), expected = Decode(matrix);
        EXPECT_EQ(std::memcmp(decoded.data(), expected.data(), expected.size() * sizeof(float)), 0);
        EXPECT_EQ(DecodeAll(*stream, 3), decoded);
      }
    }
  }
}

TEST(StreamTest, NarrowTypesAreRoundedFromSinglePrecisionIntoAStride) {
  const Matrix matrix = MakeMatrix(20, 30, true, Kind::kNormal);
  const std::string bytes = *Write(matrix, 1);
  const auto stream = Stream::Open(AsBytes(bytes), 20, 30, "t");
  ASSERT_TRUE(stream.ok()) << stream.status();
  const std::vector<float> expected = Decode(matrix);
  for (const coding::Output output : {coding::Output::kF16, coding::Output::kBF16}) {
    std::vector<uint16_t> out(20 * 37, 0xa5a5);
    ASSERT_TRUE(stream->DecodeTile(0, output, out.data(), 37).ok());
    for (size_t r = 0; r < 20; ++r) {
      for (size_t c = 0; c < 37; ++c) {
        const float weight = c < 30 ? expected[r * 30 + c] : 0;
        const uint16_t rounded = output == coding::Output::kF16 ? FloatToHalf(weight) : FloatToBFloat16(weight);
        ASSERT_EQ(out[r * 37 + c], c < 30 ? rounded : 0xa5a5) << r << ' ' << c;
      }
    }
  }
}

TEST(StreamTest, ZerosTakeNextToNothing) {
  EXPECT_LT(Write(MakeMatrix(1, 1, true, Kind::kZeros), 1)->size(), 40u);
  Matrix matrix = MakeMatrix(60, 4096, true, Kind::kZeros);
  matrix.grid.column_scale.assign(4096, 0);
  matrix.grid.column_class.assign(4096, 0);
  EXPECT_LT(Write(matrix, 1)->size(), 250u);
}

TEST(StreamTest, AnIntegerThatNoTableHasIsNotCodable) {
  Matrix matrix = MakeMatrix(4, 4, true, Kind::kZeros);
  matrix.integers[5] = 1;
  const auto bytes = Write(matrix, 1);
  EXPECT_EQ(bytes.status().code(), absl::StatusCode::kInvalidArgument);
}

class DamagedStreamTest : public testing::Test {
 protected:
  static constexpr uint32_t kRows = 201, kColumns = 5000;  // four tiles: 51 rows each, the last 48
  DamagedStreamTest() : bytes_(*Write(MakeMatrix(kRows, kColumns, true, Kind::kNormal), 2)), whole_(Open(bytes_)) {}

  static Stream Open(const std::string& bytes) { return *Stream::Open(AsBytes(bytes), kRows, kColumns, "h.3.weight"); }
  absl::Status Opened(const std::string& bytes) const { return Stream::Open(AsBytes(bytes), kRows, kColumns, "h.3.weight").status(); }
  size_t BeginOf(uint32_t tile) const {
    return static_cast<size_t>(whole_.payload(tile).data() - reinterpret_cast<const uint8_t*>(bytes_.data()));
  }
  // With the header's checksum as it should be.
  std::string Sealed(std::string bytes) const {
    const uint32_t crc = coding::Crc32(AsBytes(bytes).subspan(4, whole_.header_bytes() - 4));
    for (int i = 0; i < 4; ++i) bytes[i] = static_cast<char>(crc >> (8 * i));
    return bytes;
  }

  const std::string bytes_;
  const Stream whole_;
};

TEST_F(DamagedStreamTest, AChangedByteIsFoundInItsTileAlone) {
  ASSERT_EQ(whole_.grid().tiles(), 4u);
  std::vector<float> out(size_t{51} * kColumns);
  for (uint32_t damaged = 0; damaged < 4; ++damaged) {
    const size_t size = whole_.payload(damaged).size();
    for (const size_t at : {size_t{0}, size_t{1}, size / 2, size - 1}) {
      std::string bytes = bytes_;
      bytes[BeginOf(damaged) + at] ^= 0x10;
      const Stream stream = Open(bytes);
      for (uint32_t tile = 0; tile < 4; ++tile) {
        const absl::Status status = stream.DecodeTile(tile, coding::Output::kF32, out.data(), kColumns);
        EXPECT_EQ(stream.CheckTile(tile).ok(), tile != damaged);
        EXPECT_EQ(status.ok(), tile != damaged);
        if (tile != damaged) continue;
        EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
        const std::string where = "tensor 'h.3.weight', tile " + std::to_string(tile) + " (rows " + std::to_string(51 * tile) + " to " +
                                  std::to_string(std::min(51 * tile + 50, kRows - 1)) + ")";
        EXPECT_THAT(Message(status), HasSubstr(where));
        EXPECT_THAT(Message(status), HasSubstr("checksum mismatch"));  // found before it is decoded
      }
    }
  }
}

TEST_F(DamagedStreamTest, AStreamThatIsCutNamesTheTileItEndsIn) {
  for (uint32_t tile = 0; tile < 4; ++tile) {
    for (const size_t kept : {size_t{0}, whole_.payload(tile).size() / 2, whole_.payload(tile).size() - 1}) {
      const absl::Status status = Opened(bytes_.substr(0, BeginOf(tile) + kept));
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
      EXPECT_THAT(Message(status), HasSubstr("tensor 'h.3.weight'"));
      EXPECT_THAT(Message(status), HasSubstr("tile " + std::to_string(tile) + " is longer than the stream")) << kept;
    }
  }
  EXPECT_THAT(Message(Opened(bytes_ + "x")), HasSubstr("bytes are left after the last tile"));
}

TEST_F(DamagedStreamTest, EveryByteOfTheHeaderIsUnderItsChecksum) {
  for (size_t at = 0; at < whole_.header_bytes(); ++at) {
    std::string bytes = bytes_;
    bytes[at] ^= 1;
    const absl::Status status = Opened(bytes);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << at;
    EXPECT_THAT(Message(status), HasSubstr("header: ")) << at;
  }
  for (const size_t size : {size_t{0}, size_t{8}, size_t{9}, size_t{10}, size_t{40}, size_t{whole_.header_bytes() - 1}}) {
    EXPECT_EQ(Opened(bytes_.substr(0, size)).code(), absl::StatusCode::kDataLoss) << size;
  }
}

// A header may lie and be sealed.
TEST_F(DamagedStreamTest, HeadersThatCannotBeTrueAreRefused) {
  const auto with_step = [&](float step) {
    std::string bytes = bytes_;
    std::memcpy(&bytes[5], &step, 4);
    return Opened(Sealed(bytes));
  };
  EXPECT_TRUE(with_step(1.0f).ok());
  for (const float step : {-1.0f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    EXPECT_THAT(Message(with_step(step)), HasSubstr("the step is no size"));
  }
  std::string bytes = bytes_;
  bytes[4] = 2;
  EXPECT_THAT(Message(Opened(Sealed(bytes))), HasSubstr("unknown flags"));
  bytes[4] = 0;  // half as many tables: bits are left
  EXPECT_EQ(Opened(Sealed(bytes)).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Stream::Open(AsBytes(bytes_), 0, kColumns, "t").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Stream::Open(AsBytes(bytes_), kRows, 0, "t").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Stream::Open(AsBytes(bytes_), kColumns, kRows, "t").status().code(), absl::StatusCode::kDataLoss);
}

TEST(StreamHeaderTest, ScalesAndClassesBeyondTheFormatAreRefused) {
  const auto reason = [](auto change) {
    Matrix matrix = MakeMatrix(6, 7, false, Kind::kZeros);
    change(&matrix.grid);
    matrix.tables.assign(static_cast<size_t>(matrix.grid.tables()), coding::FrequencyTable());
    const auto bytes = Write(matrix, 1);
    if (!bytes.ok()) return std::string("not written");
    const auto stream = Stream::Open(AsBytes(*bytes), 6, 7, "t");
    return stream.ok() ? std::string("fine") : Message(stream.status());
  };
  EXPECT_EQ(reason([](Grid* grid) { grid->column_scale[2] = 512, grid->row_scale[2] = -512; }), "fine");
  EXPECT_THAT(reason([](Grid* grid) { grid->column_scale[2] = 513; }), HasSubstr("out of range"));
  EXPECT_THAT(reason([](Grid* grid) { grid->row_scale[2] = -513; }), HasSubstr("out of range"));
  EXPECT_EQ(reason([](Grid* grid) { grid->row_class[5] = 61, grid->column_class = {2, 0, 0, 0, 0, 0, 0}; }), "fine");
}

}  // namespace
}  // namespace nashswarm::nsq

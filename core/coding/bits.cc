#include "core/coding/bits.h"

#include <bit>
#include <utility>

namespace nashswarm::coding {

void BitWriter::Write(uint32_t value, int count) {
  const uint64_t mask = (uint64_t{1} << count) - 1;
  pending_ |= (value & mask) << filled_;
  filled_ += count;
  while (filled_ >= 8) {
    bytes_.push_back(static_cast<uint8_t>(pending_));
    pending_ >>= 8;
    filled_ -= 8;
  }
}

void BitWriter::WriteGolomb(uint32_t value, int order) {
  const uint32_t u = value + (uint32_t{1} << order);
  const int length = std::bit_width(u);
  const int zeros = length - order - 1;
  Write(0, zeros);
  Write(1, 1);
  Write(u, length - 1);
}

void BitWriter::WriteSignedGolomb(int32_t value, int order) { WriteGolomb(ZigZag(value), order); }

std::vector<uint8_t> BitWriter::Take() {
  if (filled_ > 0) bytes_.push_back(static_cast<uint8_t>(pending_));
  pending_ = 0;
  filled_ = 0;
  return std::exchange(bytes_, {});
}

uint32_t BitReader::Peek(size_t ahead) const {
  const size_t at = position_ + ahead;
  return at / 8 < bytes_.size() ? (bytes_[at / 8] >> (at % 8)) & 1 : 0;
}

void BitReader::Skip(size_t count) {
  const size_t left = 8 * bytes_.size() - position_;
  overrun_ = overrun_ || count > left;
  position_ += count > left ? left : count;
}

uint32_t BitReader::Read(int count) {
  uint64_t value = 0;
  int got = 0;
  for (size_t at = position_; got < count && at / 8 < bytes_.size();) {
    const int offset = static_cast<int>(at % 8);
    value |= static_cast<uint64_t>(bytes_[at / 8] >> offset) << got;
    got += 8 - offset;
    at += 8 - offset;
  }
  Skip(count);
  return static_cast<uint32_t>(value & ((uint64_t{1} << count) - 1));
}

uint32_t BitReader::ReadGolomb(int order) {
  int zeros = 0;
  while (zeros + order < 32 && Peek(zeros) == 0 && position_ + zeros < 8 * bytes_.size()) ++zeros;
  if (zeros + order >= 32 || position_ + zeros >= 8 * bytes_.size()) {
    overrun_ = true;
    return 0;
  }
  Skip(zeros + 1);
  const uint64_t low = Read(zeros + order);
  return static_cast<uint32_t>((uint64_t{1} << (zeros + order)) + low - (uint64_t{1} << order));
}

int32_t BitReader::ReadSignedGolomb(int order) { return UnZigZag(ReadGolomb(order)); }

bool BitReader::AtEnd() const {
  if (overrun_ || 8 * bytes_.size() - position_ >= 8) return false;
  for (size_t ahead = 0; position_ + ahead < 8 * bytes_.size(); ++ahead) {
    if (Peek(ahead) != 0) return false;
  }
  return true;
}

int GolombBits(uint32_t value, int order) {
  return 2 * std::bit_width(value + (uint32_t{1} << order)) - order - 1;
}

}  // namespace nashswarm::coding

#include "core/forward/kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

namespace nashswarm::forward {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Lengths around those of vectors, and of rows of real models.
constexpr size_t kLengths[] = {1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 257, 768};

std::vector<float> Numbers(size_t count, float spread, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.1f, spread);
  std::vector<float> out(count);
  for (float& x : out) x = normal(random);
  return out;
}

// Every kernel's results on one input, one after another.
std::vector<float> Everything(const Kernels& k, const std::vector<float>& x, const std::vector<float>& w) {
  const size_t n = x.size();
  std::vector<float> all, y(n);
  const auto keep = [&] { all.insert(all.end(), y.begin(), y.end()); };
  k.rms_norm(x.data(), w.data(), 1e-5f, n, y.data());
  keep();
  k.layer_norm(x.data(), w.data(), x.data(), 1e-5f, n, y.data());
  keep();
  k.silu_gate(x.data(), w.data(), n, y.data());
  keep();
  k.gelu_gate(x.data(), w.data(), n, y.data());
  keep();
  k.relu_squared_gate(x.data(), w.data(), n, y.data());
  keep();
  k.silu(x.data(), n, y.data());
  keep();
  k.gelu(x.data(), n, y.data());
  keep();
  k.relu_squared(x.data(), n, y.data());
  keep();
  y = x;
  k.rotate_halves(y.data(), w.data(), w.data() + n / 2, n / 2);
  keep();
  y = x;
  k.rotate_pairs(y.data(), w.data(), w.data() + n / 2, n / 2);
  keep();
  all.push_back(k.dot(x.data(), w.data(), n));
  const float greatest = k.max(x.data(), n);
  all.push_back(greatest);
  y = x;
  all.push_back(k.exp_sum(y.data(), greatest, n));
  keep();
  k.scale(y.data(), 1.7f, n);
  keep();
  k.add(x.data(), n, y.data());
  keep();
  all.push_back(k.finite(x.data(), n) ? 1.0f : 0.0f);
  return all;
}

// Bits, with every NaN alike: which one an operation gives differs between instruction sets.
std::vector<uint32_t> BitsOf(const std::vector<float>& values) {
  std::vector<uint32_t> bits(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const float value = std::isnan(values[i]) ? kNan : values[i];
    std::memcpy(&bits[i], &value, 4);
  }
  return bits;
}

class ForwardKernelsTest : public ::testing::Test {
 protected:
  void TearDown() override { UseKernelTarget(0); }
};

TEST_F(ForwardKernelsTest, EveryInstructionSetAgreesWithThePlainLoopsToTheBit) {
  const int64_t targets = KernelTargets();  // of which UseKernelTarget leaves one
  int tried = 0;
  for (int bit = 0; bit < 63; ++bit) {
    const int64_t target = int64_t{1} << bit;
    if ((targets & target) == 0) continue;
    UseKernelTarget(target);
    ++tried;
    for (const size_t n : kLengths) {
      for (const float spread : {0.01f, 1.0f, 30.0f, 1e20f}) {
        const auto x = Numbers(n, spread, 1), w = Numbers(n, 1, 2);
        ASSERT_EQ(BitsOf(Everything(SimdKernels(), x, w)), BitsOf(Everything(ScalarKernels(), x, w)))
            << SimdKernels().name << " length " << n << " spread " << spread;
      }
    }
  }
  EXPECT_GT(tried, 1);
}

TEST_F(ForwardKernelsTest, ExponentialsAreRight) {
  std::vector<float> x;
  for (float v = -86.9f; v < 87.9f; v += 0.0137f) x.push_back(v);
  std::vector<float> y = x;
  ActiveKernels().exp_sum(y.data(), 0, y.size());
  // The argument's rounding to a multiple of ln 2 costs what its last bit is worth, and the polynomial two more roundings.
  for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(y[i] / std::exp(static_cast<double>(x[i])), 1, 3e-7) << x[i];
  for (const float low : {-87.5f, -1000.0f, -kInfinity}) {
    float value = low;
    EXPECT_EQ(ActiveKernels().exp_sum(&value, 0, 1), 0);
  }
}

TEST_F(ForwardKernelsTest, FunctionsAreRight) {
  const auto x = Numbers(1000, 4, 3), up = Numbers(1000, 1, 4);
  std::vector<float> silu(1000), gelu(1000), gated(1000), norm(1000), layer(1000), plain_silu(1000), relu(1000), gated_relu(1000);
  const Kernels& k = ActiveKernels();
  k.silu_gate(x.data(), up.data(), 1000, silu.data());
  k.gelu(x.data(), 1000, gelu.data());
  k.gelu_gate(x.data(), up.data(), 1000, gated.data());
  k.silu(x.data(), 1000, plain_silu.data());
  k.relu_squared(x.data(), 1000, relu.data());
  k.relu_squared_gate(x.data(), up.data(), 1000, gated_relu.data());
  k.rms_norm(x.data(), up.data(), 0.5f, 1000, norm.data());
  k.layer_norm(x.data(), up.data(), x.data(), 0.5f, 1000, layer.data());
  double dot = 0, magnitude = 0;
  for (int i = 0; i < 1000; ++i) dot += double{x[i]} * up[i], magnitude += std::abs(double{x[i]} * up[i]);
  EXPECT_NEAR(k.dot(x.data(), up.data(), 1000), dot, 1e-6 * magnitude);
  double mean = 0, squares = 0, variance = 0;
  for (const float v : x) mean += v / 1000.0;
  for (const float v : x) squares += double{v} * v / 1000, variance += (v - mean) * (v - mean) / 1000;
  for (int i = 0; i < 1000; ++i) {
    const double v = x[i], u = std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v), g = 0.5 * v * (1 + std::tanh(u));
    const double small = 1e-6;
    ASSERT_NEAR(silu[i], v / (1 + std::exp(-v)) * up[i], small * (1 + std::abs(v * up[i])));
    ASSERT_NEAR(gelu[i], g, small * (1 + std::abs(v)));
    ASSERT_NEAR(plain_silu[i], v / (1 + std::exp(-v)), small * (1 + std::abs(v)));
    ASSERT_NEAR(relu[i], v > 0 ? v * v : 0, small * (1 + v * v));
    ASSERT_NEAR(gated_relu[i], v > 0 ? v * v * up[i] : 0, small * (1 + std::abs(v * v * up[i])));
    ASSERT_NEAR(gated[i], g * up[i], small * (1 + std::abs(v * up[i])));
    ASSERT_NEAR(norm[i], v / std::sqrt(squares + 0.5) * up[i], small * (1 + std::abs(v)));
    ASSERT_NEAR(layer[i], (v - mean) / std::sqrt(variance + 0.5) * up[i] + v, small * (1 + std::abs(v)));
  }
}

TEST_F(ForwardKernelsTest, NanIsNotLost) {
  for (const size_t n : kLengths) {
    for (const size_t at : {size_t{0}, n / 2, n - 1}) {
      auto x = Numbers(n, 1, 5);
      x[at] = kNan;
      const auto up = Numbers(n, 1, 6);
      std::vector<float> y(n);
      EXPECT_FALSE(ActiveKernels().finite(x.data(), n));
      ActiveKernels().silu_gate(x.data(), up.data(), n, y.data());
      EXPECT_TRUE(std::isnan(y[at]));
      for (const auto activation : {ActiveKernels().gelu, ActiveKernels().silu, ActiveKernels().relu_squared}) {
        activation(x.data(), n, y.data());
        EXPECT_TRUE(std::isnan(y[at]));
      }
      y = x;
      EXPECT_TRUE(std::isnan(ActiveKernels().exp_sum(y.data(), 0, n)));
      x[at] = -kInfinity;
      EXPECT_FALSE(ActiveKernels().finite(x.data(), n));
      x[at] = -std::numeric_limits<float>::max();
      EXPECT_TRUE(ActiveKernels().finite(x.data(), n));
    }
  }
}

}  // namespace
}  // namespace nashswarm::forward

// Structures as JSON objects, and back. The keys of a structure are named once, in their order, by a function template beside it
// in its namespace (an unnamed one is not looked into):
//
//   template <typename V, MaybeConst<Point> T>
//   void Fields(V& v, T& point) {
//     v("bytes", point.bytes);
//     v("loss", point.loss);
//   }
//
// Both visitors have the same calls. A member is text, a truth value, a number, a value with a name (HasText), another such
// structure, or a list, a pair or an optional of these.
#ifndef NASHSWARM_CORE_BASE_JSON_FIELDS_H_
#define NASHSWARM_CORE_BASE_JSON_FIELDS_H_

#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "core/base/json.h"
#include "core/base/utf8.h"

namespace nashswarm {

// The member itself; null when it is absent.
inline const Json& JsonMember(const Json& object, const char* key) {
  static const Json* const kNull = new Json();
  const auto it = object.is_object() ? object.find(key) : object.end();
  return it == object.end() ? *kNull : *it;
}

template <typename T, typename S>
concept MaybeConst = std::is_same_v<std::remove_const_t<T>, S>;

// A value that files know by a name: the functions are found beside T. FromText is false for a name that is none.
template <typename T>
concept HasText = requires(const T& value, T* out, std::string_view text) {
  { TextOf(value) } -> std::convertible_to<std::string>;
  { FromText(text, out) } -> std::same_as<bool>;
};

// Writes into an object that is given. Text is made valid UTF-8.
class JsonWriter {
 public:
  // JSON has no numbers that are not finite: their keys are absent, or null. In a list their place counts, and they are null.
  enum class NonFinite { kAbsent, kNull };
  explicit JsonWriter(OrderedJson* out, NonFinite non_finite = NonFinite::kAbsent) : out_(*out), non_finite_(non_finite) {}

  template <typename T>
  void operator()(const char* key, const T& value) {
    if constexpr (std::is_floating_point_v<T>) {
      if (non_finite_ == NonFinite::kAbsent && !std::isfinite(value)) return;
    }
    out_[key] = Value(value);
  }
  // Absent without a value.
  template <typename T>
  void operator()(const char* key, const std::optional<T>& value) {
    if (value.has_value()) (*this)(key, *value);
  }
  // A number whose 0 means "unknown": such a key is not written.
  template <typename T>
  void Known(const char* key, const T& value) {
    If(value != 0, key, value);
  }
  template <typename T>
  void If(bool known, const char* key, const T& value) {
    if (known) (*this)(key, value);
  }
  // What follows from other members, for readers of the file: is not read.
  template <typename T>
  void Derived(const char* key, const T& value) {
    (*this)(key, value);
  }
  // A list of numbers, of which some may be infinite.
  void OrInfinite(const char* key, const std::vector<double>& values) { (*this)(key, values); }
  // An optional structure whose keys stand among the others; `key` is one of them.
  template <typename T>
  void Among(const char*, const std::optional<T>& value) {
    if (value.has_value()) Fields(*this, *value);
  }

 private:
  static OrderedJson Value(const std::string& text) { return ValidUtf8(text); }
  template <typename T>
  OrderedJson Value(const std::vector<T>& list) const {
    OrderedJson out = OrderedJson::array();
    for (const T& element : list) out.push_back(Value(element));
    return out;
  }
  template <typename A, typename B>
  OrderedJson Value(const std::pair<A, B>& pair) const {
    OrderedJson out = OrderedJson::array();
    out.push_back(Value(pair.first));
    out.push_back(Value(pair.second));
    return out;
  }
  template <typename T>
  OrderedJson Value(const T& value) const {
    if constexpr (std::is_floating_point_v<T>) {
      return std::isfinite(value) ? OrderedJson(value) : OrderedJson();
    } else if constexpr (std::is_arithmetic_v<T>) {
      return value;
    } else if constexpr (HasText<T>) {
      return std::string(TextOf(value));
    } else {
      OrderedJson out = OrderedJson::object();
      JsonWriter writer(&out, non_finite_);
      Fields(writer, value);
      return out;
    }
  }

  OrderedJson& out_;
  NonFinite non_finite_;
};

// The structure with its keys in their order.
template <typename T>
OrderedJson ToOrderedJson(const T& value, JsonWriter::NonFinite non_finite) {
  OrderedJson out = OrderedJson::object();
  JsonWriter writer(&out, non_finite);
  Fields(writer, value);
  return out;
}

// What a JsonReader finds wrong: the first of it.
struct JsonFault {
  std::string key;      // "tensors[3].rows"
  std::string problem;  // "is missing", "is not a number"; empty: nothing
  bool ok() const { return problem.empty(); }
};

// Reads the members that an object has; what is wrong keeps its value. Unknown keys are skipped.
class JsonReader {
 public:
  enum class Absent { kKeepsValue, kIsAFault };
  JsonReader(const Json& in, Absent absent, JsonFault* fault) : JsonReader(in, absent, nullptr, fault) {}

  template <typename T>
  void operator()(const char* key, T& value) {
    const auto it = Find(key);
    if (it != in_.end()) return Read(*it, {at_, key}, value);
    if (absent_ == Absent::kIsAFault) Wrong({at_, key}, "is missing");
  }
  template <typename T>
  void operator()(const char* key, std::optional<T>& value) {
    If(true, key, value);
  }
  template <typename T>
  void Known(const char* key, T& value) {
    If(true, key, value);
  }
  template <typename T>
  void If(bool, const char* key, T& value) {
    if (const auto it = Find(key); it != in_.end()) Read(*it, {at_, key}, value);
  }
  template <typename T>
  void Derived(const char*, const T&) {}
  void OrInfinite(const char* key, std::vector<double>& values) {
    std::vector<MaybeInfinite> read;
    (*this)(key, read);
    values.clear();
    for (const MaybeInfinite& value : read) values.push_back(value.value);
  }
  template <typename T>
  void Among(const char* key, std::optional<T>& value) {
    if (Find(key) != in_.end()) Fields(*this, value.emplace());
  }
  // Of what types do not say, after the member was read: a fault unless `holds`.
  void Require(bool holds, const char* key, std::string_view expected) {
    if (!holds) Not({at_, key}, expected);
  }

 private:
  // Where a value is, made into words only for a fault: a file may have a million of them.
  struct Place {
    const Place* parent = nullptr;
    const char* key = nullptr;  // null: an element of a list
    size_t index = 0;
  };
  struct MaybeInfinite {
    double value = 0;
  };
  JsonReader(const Json& in, Absent absent, const Place* at, JsonFault* fault) : in_(in), absent_(absent), at_(at), fault_(*fault) {}

  Json::const_iterator Find(const char* key) const { return in_.is_object() ? in_.find(key) : in_.end(); }

  template <typename T>
  void Read(const Json& in, const Place& at, std::optional<T>& value) {
    Read(in, at, value.emplace());
  }
  template <typename T>
  void Read(const Json& in, const Place& at, std::vector<T>& list) {
    if (!in.is_array()) return Not(at, "an array");
    list.clear();
    list.reserve(in.size());
    for (const Json& element : in) {
      const Place place{&at, nullptr, list.size()};
      Read(element, place, list.emplace_back());
    }
  }
  template <typename A, typename B>
  void Read(const Json& in, const Place& at, std::pair<A, B>& pair) {
    if (!in.is_array() || in.size() != 2) return Not(at, "a pair");
    Read(in[0], {&at, nullptr, 0}, pair.first);
    Read(in[1], {&at, nullptr, 1}, pair.second);
  }
  void Read(const Json& in, const Place& at, MaybeInfinite& value) {
    if (in.is_null()) value.value = std::numeric_limits<double>::infinity();
    else Read(in, at, value.value);
  }
  template <typename T>
  void Read(const Json& in, const Place& at, T& value) {
    if constexpr (std::is_same_v<T, std::string>) {
      in.is_string() ? value = in.get<std::string>() : (Not(at, "a string"), value);
    } else if constexpr (std::is_same_v<T, bool>) {
      in.is_boolean() ? value = in.get<bool>() : (Not(at, "true or false"), value);
    } else if constexpr (std::is_same_v<T, double>) {
      in.is_number() ? value = in.get<double>() : (Not(at, "a number"), value);
    } else if constexpr (std::is_same_v<T, uint64_t>) {
      in.is_number_unsigned() ? value = in.get<uint64_t>() : (Not(at, "a whole number from 0"), value);
    } else if constexpr (std::is_same_v<T, uint32_t>) {
      const bool fits = in.is_number_unsigned() && in.get<uint64_t>() <= std::numeric_limits<uint32_t>::max();
      fits ? value = in.get<uint32_t>() : (Not(at, "a whole number from 0, of 32 bits"), value);
    } else if constexpr (std::is_same_v<T, int>) {
      const auto fits = [](int64_t n) { return n >= std::numeric_limits<int>::min() && n <= std::numeric_limits<int>::max(); };
      const bool whole = in.is_number_unsigned() ? in.get<uint64_t>() <= std::numeric_limits<int>::max()
                                                 : in.is_number_integer() && fits(in.get<int64_t>());
      whole ? value = in.get<int>() : (Not(at, "a whole number of 32 bits"), value);
    } else if constexpr (HasText<T>) {
      if (!in.is_string() || !FromText(in.get_ref<const std::string&>(), &value)) Not(at, "a name that is known here");
    } else {
      if (!in.is_object()) return Not(at, "an object");
      JsonReader reader(in, absent_, &at, &fault_);
      Fields(reader, value);
    }
  }

  void Not(const Place& at, std::string_view expected) { Wrong(at, "is not " + std::string(expected)); }
  void Wrong(const Place& at, std::string problem) {
    if (fault_.ok()) fault_ = {Words(at), std::move(problem)};
  }
  static std::string Words(const Place& at) {
    const std::string before = at.parent == nullptr ? "" : Words(*at.parent);
    if (at.key == nullptr) return before + "[" + std::to_string(at.index) + "]";
    return before.empty() ? at.key : before + "." + at.key;
  }

  const Json& in_;
  Absent absent_;
  const Place* at_;  // of the object; null: the whole
  JsonFault& fault_;
};

}  // namespace nashswarm

#endif  // NASHSWARM_CORE_BASE_JSON_FIELDS_H_

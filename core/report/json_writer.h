// Structures as JSON objects. The keys of a structure T are named once, in their order, by a function beside T in its
// namespace (an unnamed one is not looked into): Fields(v, structure) calls v(key, member) for each.
#ifndef NASHSWARM_CORE_REPORT_JSON_WRITER_H_
#define NASHSWARM_CORE_REPORT_JSON_WRITER_H_

#include <cmath>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "core/base/json.h"
#include "core/base/utf8.h"

namespace nashswarm::report {

// Numbers that are not finite and optionals without a value are not written; text is made valid UTF-8.
class JsonWriter {
 public:
  explicit JsonWriter(OrderedJson* out) : out_(*out) {}

  template <typename T>
  void operator()(const char* key, const T& value) {
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isfinite(value)) out_[key] = value;  // JSON has no other numbers: what is none is absent
    } else {
      out_[key] = Value(value);
    }
  }
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

 private:
  static OrderedJson Value(const std::string& text) { return ValidUtf8(text); }
  template <typename T>
  static OrderedJson Value(const std::vector<T>& list) {
    OrderedJson out = OrderedJson::array();
    for (const T& element : list) out.push_back(Value(element));
    return out;
  }
  template <typename T>
  static OrderedJson Value(const T& value) {
    if constexpr (std::is_floating_point_v<T>) {
      return std::isfinite(value) ? OrderedJson(value) : OrderedJson();  // in a list its place counts: null
    } else if constexpr (std::is_arithmetic_v<T>) {
      return value;
    } else {
      OrderedJson out = OrderedJson::object();
      JsonWriter writer(&out);
      Fields(writer, value);
      return out;
    }
  }

  OrderedJson& out_;
};

}  // namespace nashswarm::report

#endif  // NASHSWARM_CORE_REPORT_JSON_WRITER_H_

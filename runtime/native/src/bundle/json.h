// JSON from outside, read as strictly as csflow.runtime.schema reads it, and written as Python's json writes it.
#pragma once

#include "status.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace csflow {

/// A parsed value. nlohmann::json parses, but holds nothing: its destructor allocates, and without memory would abort.
struct Json {
    enum Kind { NOTHING, BOOLEAN, WHOLE, BIG, REAL, TEXT, ARRAY, OBJECT } kind = NOTHING;
    bool boolean = false;
    std::int64_t whole = 0;
    double real = 0.0;             // of WHOLE and BIG too
    std::string text;              // of TEXT; the digits of BIG, a whole number beyond 64 bits
    std::vector<Json> items;       // of ARRAY and OBJECT
    std::vector<std::string> keys; // of OBJECT, one for each item, in the order of the file

    const Json *find(std::string_view key) const noexcept;
    bool is_number() const noexcept { return kind == WHOLE || kind == BIG || kind == REAL; }
};

/// Parse UTF-8 JSON. Refused with `status`: not JSON, a key twice, nested deeper than 64 levels, a number that is not
/// finite. `where` names the file in the message, `remedy` ends it.
Json parse_json(std::string_view text, csflow_status status, const std::string &where, const char *remedy);

/// json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True) of Python, byte for byte; without the
/// top-level key `leave_out`.
std::string canonical_json(const Json &value, std::string_view leave_out = {});

/// Reads one object: every key must be known, every value of its type.
class Object {
public:
    /// `value` as an object that has no other keys than `known`.
    Object(const Json &value, const std::vector<std::string_view> &known, csflow_status status, std::string where);

    bool has(const char *key) const noexcept { return value_.find(key) != nullptr; }
    const Json &at(const char *key) const;
    const Json &object(const char *key) const { return typed(key, Json::OBJECT); }
    const Json &array(const char *key) const { return typed(key, Json::ARRAY); }
    const std::string &text(const char *key) const { return typed(key, Json::TEXT).text; }
    std::int64_t whole(const char *key) const { return typed(key, Json::WHOLE).whole; }
    double number(const char *key) const;

    /// `condition`, or this object is refused with the message.
    void require(bool condition, const char *message) const;

private:
    const Json &typed(const char *key, Json::Kind kind) const;

    const Json &value_;
    csflow_status status_;
    std::string where_;
};

} // namespace csflow

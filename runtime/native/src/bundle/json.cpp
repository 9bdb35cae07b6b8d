#include "bundle/json.h"
#include "numbers.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace csflow {
namespace {

constexpr std::size_t kMaxDepth = 64;
constexpr std::size_t kMaxDigits = 20;

/// Takes what the parser finds. Says why when it stops.
class Builder final : public nlohmann::json_sax<nlohmann::json> {
public:
    Json root;
    std::string problem;

    bool null() override { return add({}); }
    bool boolean(bool value) override {
        Json json;
        json.kind = Json::BOOLEAN;
        json.boolean = value;
        return add(std::move(json));
    }
    bool number_integer(std::int64_t value) override { return whole(value); }
    bool number_unsigned(std::uint64_t value) override {
        return value <= std::uint64_t{INT64_MAX} ? whole(static_cast<std::int64_t>(value))
                                                 : huge(std::to_string(value), static_cast<double>(value));
    }
    bool number_float(double value, const std::string &digits) override {
        // Whole numbers beyond 64 bits arrive here.
        return digits.find_first_of(".eE") == std::string::npos ? huge(digits, value) : real(value);
    }
    bool string(std::string &value) override {
        Json json;
        json.kind = Json::TEXT;
        json.text = std::move(value);
        return add(std::move(json));
    }
    bool binary(nlohmann::json::binary_t &) override { return stop("binary data"); }
    bool start_object(std::size_t) override { return open(Json::OBJECT); }
    bool start_array(std::size_t) override { return open(Json::ARRAY); }
    bool end_object() override { return keys_differ(open_.back()) ? close() : stop("a key appears twice"); }
    bool end_array() override { return close(); }
    bool key(std::string &name) override {
        open_.back().keys.push_back(std::move(name));
        return open_.size() < kMaxDepth || stop("nested too deep");
    }
    bool parse_error(std::size_t, const std::string &, const nlohmann::json::exception &error) override {
        return stop(error.what());
    }

private:
    bool stop(const char *why) {
        problem = why;
        return false;
    }

    bool whole(std::int64_t value) {
        Json json;
        json.kind = Json::WHOLE;
        json.whole = value;
        json.real = static_cast<double>(value);
        return add(std::move(json));
    }

    bool huge(const std::string &digits, double value) {
        Json json;
        json.kind = Json::BIG;
        json.text = digits;
        json.real = value;
        return digits.size() <= kMaxDigits ? add(std::move(json)) : stop("a whole number is too long");
    }

    bool real(double value) {
        Json json;
        json.kind = Json::REAL;
        json.real = value;
        return std::isfinite(value) ? add(std::move(json)) : stop("a number is too large");
    }

    bool open(Json::Kind kind) {
        Json json;
        json.kind = kind;
        open_.push_back(std::move(json));
        return open_.size() <= kMaxDepth || stop("nested too deep");
    }

    bool close() {
        Json json = std::move(open_.back());
        open_.pop_back();
        return add(std::move(json));
    }

    bool add(Json json) {
        if (open_.size() >= kMaxDepth) {
            return stop("nested too deep");
        }
        if (open_.empty()) {
            root = std::move(json);
        } else {
            open_.back().items.push_back(std::move(json));
        }
        return true;
    }

    static bool keys_differ(const Json &object) {
        std::vector<std::string_view> sorted(object.keys.begin(), object.keys.end());
        std::sort(sorted.begin(), sorted.end());
        return std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end();
    }

    std::vector<Json> open_; // the containers around the next value
};

// repr() of a finite float: the shortest digits that give it back, plain from 1e-4 up to 1e16.
std::string float_repr(double value) {
    char buffer[32];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
    const std::string text(buffer, end);
    const std::size_t e = text.find('e');
    const int exponent = std::stoi(text.substr(e + 1));
    if (exponent < -4 || exponent >= 16) {
        return text;
    }
    const std::size_t sign = text[0] == '-' ? 1 : 0;
    std::string digits = text.substr(sign, e - sign);
    digits.erase(std::remove(digits.begin(), digits.end(), '.'), digits.end());
    if (exponent < 0) {
        digits = "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
    } else {
        const auto point = static_cast<std::size_t>(exponent) + 1;
        digits.resize(std::max(digits.size(), point + 1), '0');
        digits.insert(point, ".");
    }
    return text.substr(0, sign) + digits;
}

// Text as the library writes it: quoted, ASCII alone.
std::string quoted(const std::string &text) { return nlohmann::json(text).dump(-1, ' ', true); }

void write(const Json &value, std::string_view leave_out, std::string &out);

void write_object(const Json &value, std::string_view leave_out, std::string &out) {
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < value.keys.size(); ++i) {
        if (leave_out.empty() || value.keys[i] != leave_out) {
            order.push_back(i);
        }
    }
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return value.keys[a] < value.keys[b]; });
    const char *separator = "{";
    for (const std::size_t i : order) {
        out += separator + quoted(value.keys[i]) + ':';
        write(value.items[i], {}, out);
        separator = ",";
    }
    out += order.empty() ? "{}" : "}";
}

void write_array(const Json &value, std::string &out) {
    out += '[';
    for (const Json &item : value.items) {
        out += &item == value.items.data() ? "" : ",";
        write(item, {}, out);
    }
    out += ']';
}

void write(const Json &value, std::string_view leave_out, std::string &out) {
    switch (value.kind) {
    case Json::NOTHING: out += "null"; break;
    case Json::BOOLEAN: out += value.boolean ? "true" : "false"; break;
    case Json::WHOLE: out += std::to_string(value.whole); break;
    case Json::BIG: out += value.text; break;
    case Json::REAL: out += float_repr(value.real); break;
    case Json::TEXT: out += quoted(value.text); break;
    case Json::ARRAY: write_array(value, out); break;
    case Json::OBJECT: write_object(value, leave_out, out); break;
    }
}

// Outside data: no control character may reach a terminal.
std::string shown(std::string_view text) {
    std::string safe;
    for (const char c : text.substr(0, 64)) {
        safe += c >= ' ' && c <= '~' ? c : '?';
    }
    return safe;
}

} // namespace

const Json *Json::find(std::string_view key) const noexcept {
    const auto found = std::find(keys.begin(), keys.end(), key);
    return found == keys.end() ? nullptr : &items[static_cast<std::size_t>(found - keys.begin())];
}

Json parse_json(std::string_view text, csflow_status status, const std::string &where, const char *remedy) {
    const PlainNumbers plain;
    Builder builder;
    // Python refuses a byte order mark, nlohmann skips it.
    if (text.substr(0, 3) == "\xEF\xBB\xBF") {
        fail(status, "%s begins with a byte order mark; %s", where.c_str(), remedy);
    }
    if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) {
        fail(status, "%s is not valid JSON (%s); %s", where.c_str(), shown(builder.problem).c_str(), remedy);
    }
    return std::move(builder.root);
}

std::string canonical_json(const Json &value, std::string_view leave_out) {
    std::string text;
    write(value, leave_out, text);
    return text;
}

Object::Object(const Json &value, const std::vector<std::string_view> &known, csflow_status status,
               std::string where)
    : value_(value), status_(status), where_(std::move(where)) {
    require(value.kind == Json::OBJECT, "what should be an object");
    for (const std::string &key : value.keys) {
        if (std::find(known.begin(), known.end(), key) == known.end()) {
            fail(status, "%s: unknown key '%s'; update csflow, or correct the file", where_.c_str(),
                 shown(key).c_str());
        }
    }
}

const Json &Object::at(const char *key) const {
    const Json *found = value_.find(key);
    if (found == nullptr) {
        fail(status_, "%s: %s is missing; make it again", where_.c_str(), key);
    }
    return *found;
}

double Object::number(const char *key) const {
    require(at(key).is_number(), key);
    return at(key).real;
}

const Json &Object::typed(const char *key, Json::Kind kind) const {
    require(at(key).kind == kind, key);
    return at(key);
}

void Object::require(bool condition, const char *message) const {
    if (!condition) {
        fail(status_, "%s: %s has the wrong type or value; make it again", where_.c_str(), message);
    }
}

} // namespace csflow

#include "bundle/identity.h"
#include "bundle/sha256.h"

namespace csflow {
namespace {

bool is_weights(const std::string &name) { return name.rfind("weights/", 0) == 0; }

// As Python represents printable ASCII.
std::string text_repr(const std::string &text) {
    const bool apostrophes_alone = text.find('\'') != std::string::npos && text.find('"') == std::string::npos;
    const char quote = apostrophes_alone ? '"' : '\'';
    std::string written(1, quote);
    for (const char c : text) {
        written += c == quote || c == '\\' ? std::string{'\\', c} : std::string(1, c);
    }
    return written + quote;
}

std::string box_repr(const Roi &box) {
    return "(" + std::to_string(box.x) + ", " + std::to_string(box.y) + ", " + std::to_string(box.width) + ", " +
           std::to_string(box.height) + ")";
}

std::string tuple_repr(const std::vector<Roi> &boxes) {
    std::string text;
    for (const Roi &box : boxes) {
        text += (text.empty() ? "" : ", ") + box_repr(box);
    }
    return "(" + text + (boxes.size() == 1 ? ",)" : ")");
}

std::string preprocessing_repr(const Manifest &how) {
    return "Preprocessing(image_size=" + std::to_string(how.image_size) +
           ", roi=" + (how.roi.width == 0 ? "None" : box_repr(how.roi)) +
           ", resize='pillow-bilinear', colour='RGB'" +
           (how.ignore.empty() ? "" : ", ignore=" + tuple_repr(how.ignore)) + ")";
}

std::string definitions_repr(const Json &names) {
    const Json *score = names.find("score");
    const Json *map = names.find("anomaly_map");
    return "Definitions(score=" + text_repr(score != nullptr ? score->text : "mean-half-z2") +
           ", anomaly_map=" + text_repr(map != nullptr ? map->text : "scale0-mean-z2") + ")";
}

// Format 1 hashed what Python's dataclasses of that day printed; it reads on for ever.
std::string legacy(const Json &body, const Manifest &manifest) {
    std::string lines;
    for (const auto &[name, entry] : manifest.files) {
        lines += is_weights(name) ? name + " " + entry.sha256 + "\n" : "";
    }
    return lines + preprocessing_repr(manifest) + "\n" + definitions_repr(*body.find("definitions"));
}

std::string canonical(const Json &body, const Manifest &manifest) {
    Json weights;
    weights.kind = Json::OBJECT;
    for (const auto &[name, entry] : manifest.files) {
        if (is_weights(name)) {
            Json hash;
            hash.kind = Json::TEXT;
            hash.text = entry.sha256;
            weights.keys.push_back(name);
            weights.items.push_back(std::move(hash));
        }
    }
    Json model;
    model.kind = Json::OBJECT;
    model.keys = {"definitions", "graphs", "method", "model", "preprocessing"};
    for (const std::string &key : model.keys) {
        model.items.push_back(*body.find(key));
    }
    model.keys.emplace_back("weights");
    model.items.push_back(std::move(weights));
    return canonical_json(model);
}

} // namespace

std::string identity(const Json &body, const Manifest &manifest) {
    const std::string text = manifest.format_version == 1 ? legacy(body, manifest) : canonical(body, manifest);
    return sha256_hex(text.data(), text.size());
}

} // namespace csflow

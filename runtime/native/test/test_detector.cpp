// From bundle to verdict with the fake engine: numbers, words, refusals.
#include "bundle/sha256.h"
#include "engine/finite.h"
#include "opened.h"

#include <cmath>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

using namespace csflow_test;

namespace {

csflow_result detect(csflow_detector detector, const csflow_image &image) {
    csflow_result result = blank_result();
    CHECK(csflow_detect(detector, &image, &result) == CSFLOW_OK);
    return result;
}

void test_verdicts(csflow_detector detector) {
    const csflow_result ok = detect(detector, Plain(100).image);
    CHECK(ok.verdict == CSFLOW_VERDICT_OK && ok.verdict_code == CSFLOW_CODE_OK && ok.reason == CSFLOW_REASON_NONE);
    CHECK(std::abs(ok.score - 100 / 255.0) < 1e-7 && ok.p_value == 2.0 / 5.0);
    CHECK(ok.warn_threshold == 0.5 && ok.reject_threshold == 0.6);
    CHECK(ok.peak_x == 25 && ok.peak_y == 20 && ok.latency_ns > 0);
    const csflow_result uncertain = detect(detector, Plain(140).image);
    CHECK(uncertain.verdict == CSFLOW_VERDICT_UNCERTAIN && uncertain.verdict_code == CSFLOW_CODE_UNCERTAIN);
    CHECK(uncertain.reason == CSFLOW_REASON_ABOVE_WARN);
    const csflow_result nok = detect(detector, Plain(200).image);
    CHECK(nok.verdict == CSFLOW_VERDICT_NOK && nok.verdict_code == CSFLOW_CODE_NOK);
    CHECK(nok.reason == CSFLOW_REASON_ABOVE_REJECT && nok.p_value == 1.0 / 5.0);
    // No picture scores 0; a dead engine may.
    const csflow_result dead = detect(detector, Plain(0).image);
    CHECK(dead.verdict == CSFLOW_VERDICT_ERROR && dead.verdict_code == CSFLOW_CODE_ERROR && dead.peak_x == -1);
    CHECK(dead.reason == CSFLOW_REASON_NOT_FINITE);
}

void test_description(csflow_detector detector) {
    csflow_description about{};
    about.struct_size = sizeof about;
    CHECK(csflow_describe(detector, &about) == CSFLOW_OK);
    CHECK(about.image_size == 64 && about.map_width == 2 && about.map_height == 2 && about.roi[2] == 0);
    CHECK(std::string(about.recipe) == "good" && std::string(about.engine) == "fake");
    CHECK(std::strlen(about.bundle_sha256) == 64 && std::strlen(about.weights_sha256) == 64);
    CHECK(about.reject_threshold == 0.6 && std::string(about.method) == "cs-flow");
    // A caller of the version before knows no method.
    about.struct_size = offsetof(csflow_description, method);
    about.method[0] = 'x';
    CHECK(csflow_describe(detector, &about) == CSFLOW_OK && about.method[0] == 'x' && about.distrust[0] == '\0');
}

void refused(csflow_detector detector, csflow_image image, csflow_status expected, const char *words) {
    csflow_result result = blank_result();
    result.verdict = CSFLOW_VERDICT_OK;
    image.frame_id = 9;
    CHECK(csflow_detect(detector, &image, &result) == expected && says(detector, words));
    CHECK(result.verdict == CSFLOW_VERDICT_ERROR && result.verdict_code == CSFLOW_CODE_ERROR);
    CHECK(result.status == expected && result.frame_id == 9 && std::isnan(result.score));
    CHECK(result.reason == CSFLOW_REASON_PICTURE);
}

void test_bad_pictures_are_refused(csflow_detector detector) {
    const Plain plain(100);
    const auto changed = [&plain](auto change) {
        csflow_image image = plain.image;
        change(image);
        return image;
    };
    const csflow_status wrong = CSFLOW_INVALID_ARGUMENT;
    refused(detector, changed([](csflow_image &i) { i.format = 0; }), wrong, "format is 0");
    refused(detector, changed([](csflow_image &i) { i.format = 7; }), wrong, "format is 7");
    refused(detector, changed([](csflow_image &i) { i.data = nullptr; }), wrong, "data is NULL");
    refused(detector, changed([](csflow_image &i) { i.width = 0; }), wrong, "image is 0x80");
    refused(detector, changed([](csflow_image &i) { i.height = -1; }), wrong, "image is 100x-1");
    refused(detector, changed([](csflow_image &i) { i.width = 65536; }), wrong, "65536x80");
    refused(detector, changed([](csflow_image &i) { i.row_stride = 299; }), wrong, "at least 300");
    refused(detector, changed([](csflow_image &i) { i.row_stride = INT64_MIN; }), wrong, "no picture");
    refused(detector, changed([](csflow_image &i) { i.width = 513; i.row_stride = 1539; }), CSFLOW_SOURCE_ERROR,
            "at most 512x512");
    refused(detector, changed([](csflow_image &i) { i.format = CSFLOW_FORMAT_NV12; i.height = 79; }), wrong, "even");
    csflow_result result = blank_result();
    CHECK(csflow_detect(detector, nullptr, &result) == wrong && says(detector, "image is NULL"));
    CHECK(csflow_detect(detector, &plain.image, nullptr) == wrong);
    csflow_image sizeless = plain.image;
    sizeless.struct_size = 0;
    CHECK(csflow_detect(detector, &sizeless, &result) == wrong && says(detector, "struct_size is 0"));
    CHECK(says(detector, "struct_size is 0")); // reading did not clear it
}

void test_an_older_caller_gets_the_fields_it_knows(csflow_detector detector) {
    csflow_result result = blank_result();
    result.struct_size = 24; // up to reason
    result.score = -7.0;
    csflow_image image = Plain(100).image;
    const Plain plain(100);
    image = plain.image;
    image.struct_size = offsetof(csflow_image, chroma);
    CHECK(csflow_detect(detector, &image, &result) == CSFLOW_OK);
    CHECK(result.verdict == CSFLOW_VERDICT_OK && result.score == -7.0 && result.struct_size == 24);
}

// The pixels end where their memory ends: the sanitizer sees what is read behind them.
void test_no_byte_behind_a_picture_is_read(csflow_detector detector) {
    for (std::int32_t width = 1; width < 80; ++width) {
        const Plain plain(100, width, 1 + width % 3);
        CHECK(detect(detector, plain.image).verdict == CSFLOW_VERDICT_OK);
        csflow_image grey = plain.image;
        grey.format = CSFLOW_FORMAT_GRAY8;
        grey.width *= 3;
        CHECK(detect(detector, grey).verdict == CSFLOW_VERDICT_OK);
    }
}

void test_maps(csflow_detector detector) {
    const Plain plain(128, 90, 70);
    const float *values = nullptr;
    std::int32_t width = 0;
    std::int32_t height = 0;
    detect(detector, plain.image);
    CHECK(csflow_anomaly_map(detector, &values, &width, &height) == CSFLOW_OK && width == 2 && height == 2);
    CHECK(std::abs(values[0] - 128 / 255.0F) < 1e-6F);
    std::vector<float> out(static_cast<std::size_t>(100 * 70), -1.0F);
    CHECK(csflow_render_map(detector, out.data(), 400, 90, 70) == CSFLOW_OK);
    CHECK(std::abs(out[0] - 128 / 255.0F) < 1e-6F && std::abs(out[69 * 100 + 89] - 128 / 255.0F) < 1e-6F);
    CHECK(out[90] == -1.0F);
    CHECK(csflow_render_map(detector, out.data(), 400, 91, 70) == CSFLOW_INVALID_ARGUMENT && says(detector, "90x70"));
    CHECK(csflow_render_map(detector, out.data(), 358, 90, 70) == CSFLOW_INVALID_ARGUMENT);
    CHECK(csflow_render_map(detector, nullptr, 400, 90, 70) == CSFLOW_INVALID_ARGUMENT);
    CHECK(csflow_anomaly_map(detector, nullptr, &width, &height) == CSFLOW_INVALID_ARGUMENT);
}

void test_self_test_takes_the_map(csflow_detector detector) {
    csflow_self_test_result test{};
    test.struct_size = sizeof test;
    CHECK(csflow_self_test(detector, &test) == CSFLOW_OK && test.frames == 2 && test.flips == 0);
    CHECK(test.score_error < 1e-6 && test.map_error < 1e-6);
    const float *values = nullptr;
    std::int32_t side = 0;
    CHECK(csflow_anomaly_map(detector, &values, &side, &side) == CSFLOW_INVALID_ARGUMENT);
}

void open_refused(const std::string &folder, csflow_status expected, const char *words) {
    csflow_detector detector = 1;
    const csflow_options options = fake_options();
    CHECK(csflow_open(&detector, folder.c_str(), &options) == expected && says(0, words) && detector == 0);
}

void test_bundles_that_must_not_open() {
    const std::string folder = make_bundle(new_folder("refused"));
    open_refused(folder, CSFLOW_CALIBRATION_ERROR, "no thresholds");
    write_calibration(folder, {{"weights_sha256", "0"}});
    open_refused(folder, CSFLOW_CALIBRATION_ERROR, "another model");
    write_calibration(folder, {{"warn_threshold", 0.7}});
    open_refused(folder, CSFLOW_CALIBRATION_ERROR, "warn_threshold");
    write_calibration(folder, {{"scores", {0.3, 0.2}}});
    open_refused(folder, CSFLOW_CALIBRATION_ERROR, "ascending");
    write_calibration(folder, {{"surprise", 1}});
    open_refused(folder, CSFLOW_CALIBRATION_ERROR, "unknown key 'surprise'");
    write_file(folder + "/calibration.json", "{\"a\": 1, \"a\": 2}");
    open_refused(folder, CSFLOW_CALIBRATION_ERROR, "twice");
    write_file(folder + "/calibration.json", std::string(100, '['));
    open_refused(folder, CSFLOW_CALIBRATION_ERROR, "too deep");
    write_file(folder + "/calibration.json", "{\"reject_threshold\": NaN}");
    open_refused(folder, CSFLOW_CALIBRATION_ERROR, "not valid JSON");
    write_calibration(folder);
    write_file(folder + "/golden/0.png", "short");
    open_refused(folder, CSFLOW_BUNDLE_CORRUPTED, "bytes");
    std::filesystem::remove(folder + "/golden/0.png");
    open_refused(folder, CSFLOW_BUNDLE_CORRUPTED, "missing");
}

void test_manifests_that_must_not_open() {
    const std::string folder = new_folder("manifests");
    const auto with = [&folder](const Change &change) { make_bundle(folder, change); };
    with([](nlohmann::json &m) { m["format_version"] = 3; });
    open_refused(folder, CSFLOW_BUNDLE_VERSION_ERROR, "bundle format 3");
    with([](nlohmann::json &m) { m["format"] = "other"; });
    open_refused(folder, CSFLOW_BUNDLE_ERROR, "not the manifest");
    with([](nlohmann::json &m) { m["preprocessing"]["image_size"] = 33; });
    open_refused(folder, CSFLOW_BUNDLE_CORRUPTED, "image_size");
    with([](nlohmann::json &m) { m["preprocessing"]["roi"] = {0, 0, 0, 1}; });
    open_refused(folder, CSFLOW_BUNDLE_CORRUPTED, "roi");
    with([](nlohmann::json &m) { m["files"]["../x"] = m["files"]["golden/0.png"]; });
    open_refused(folder, CSFLOW_BUNDLE_CORRUPTED, "name");
    with([](nlohmann::json &m) { m["files"]["golden"] = m["files"]["golden/0.png"]; });
    open_refused(folder, CSFLOW_BUNDLE_CORRUPTED, "folder");
    make_bundle(folder);
    const std::string manifest = folder + "/manifest.json";
    write_file(manifest, "{\"format\": \"csflow-bundle\", \"format_version\": 1, \"manifest_sha256\": \"\"}");
    open_refused(folder, CSFLOW_BUNDLE_CORRUPTED, "edited or damaged");
    std::filesystem::remove(manifest);
    std::filesystem::create_symlink("/etc/hostname", manifest);
    open_refused(folder, CSFLOW_BUNDLE_CORRUPTED, "not a plain file");
}

void test_what_is_finite() {
    const float infinity = std::numeric_limits<float>::infinity();
    const float most = std::numeric_limits<float>::max();
    std::vector<float> values = {0.0F, -0.0F, 1e-45F, most, -most};
    values.resize(37, 1.0F); // more than a vector register, and a rest
    CHECK(csflow::all_finite(values.data(), values.size()) && csflow::all_finite(values.data(), 0));
    for (const float odd : {infinity, -infinity, std::nanf(""), -std::nanf("")}) {
        for (float &value : values) {
            const float before = value;
            value = odd;
            CHECK(!csflow::all_finite(values.data(), values.size()));
            value = before;
        }
    }
    // float16: the largest and the least number, then infinity and NaN of both signs.
    for (const int bits : {0x0000, 0x7BFF, 0xFBFF, 0x0001, 0x7C00, 0xFC00, 0x7E00, 0xFC01}) {
        const auto half = static_cast<std::uint16_t>(bits);
        const std::uint16_t halves[2] = {0x3C00, half};
        CHECK(csflow::all_finite(halves, 2) == ((bits & 0x7C00) != 0x7C00));
    }
}

void to_format_2(nlohmann::json &manifest) {
    manifest["format_version"] = 2;
    manifest["preprocessing"].erase("roi");
    manifest["method"] = "mixture";
    manifest["graphs"] = {"backbone", "mixture"};
}

// A format 2 bundle whose second golden frame must score `score`, by the spread of good scores.
std::string spread_bundle(const std::string &name, double score) {
    const std::string folder = make_bundle(new_folder(name), to_format_2);
    const std::string golden = folder + "/golden/golden.json";
    nlohmann::json content = nlohmann::json::parse(read_file(golden));
    content["centre"] = 64 / 255.0;
    content["spread"] = 0.1;
    content["frames"][1]["score"] = score;
    make_bundle(folder, [&content](nlohmann::json &m) {
        to_format_2(m);
        const std::string text = content.dump();
        m["files"]["golden/golden.json"] = {{"sha256", csflow::sha256_hex(text.data(), text.size())},
                                            {"size", text.size()}};
    });
    write_file(golden, content.dump());
    write_calibration(folder);
    return folder;
}

// The bright frame lies 0.502 from the centre: an error of 0.1 is a fifth of that, one of 0.14 more than a quarter.
void test_errors_are_shares_of_the_spread_in_format_2() {
    const double bright = 192 / 255.0;
    const csflow_detector detector = opened(spread_bundle("spread", bright + 0.1));
    csflow_self_test_result test{};
    csflow_description about{};
    test.struct_size = sizeof test;
    about.struct_size = sizeof about;
    CHECK(csflow_self_test(detector, &test) == CSFLOW_OK);
    CHECK(std::abs(test.score_error - 0.1 / (128 / 255.0 + 0.1)) < 1e-6);
    CHECK(csflow_describe(detector, &about) == CSFLOW_OK && std::string(about.method) == "mixture");
    CHECK(csflow_close(detector) == CSFLOW_OK);
    open_refused(spread_bundle("far", bright + 0.2), CSFLOW_ENGINE_MISMATCH, "largest error of a score 28.49%");
}

void test_golden_frames_are_read_once() {
    const std::string folder = calibrated_bundle("once");
    const csflow_detector detector = opened(folder);
    std::filesystem::remove_all(folder + "/golden");
    csflow_self_test_result test{};
    test.struct_size = sizeof test;
    CHECK(csflow_self_test(detector, &test) == CSFLOW_OK && test.frames == 2);
    CHECK(csflow_close(detector) == CSFLOW_OK);
}

void test_an_engine_that_disagrees_does_not_open() {
    const std::string folder = calibrated_bundle("disagrees");
    write_calibration(folder, {{"reject_threshold", 0.6}, {"warn_threshold", 0.5}});
    make_bundle(folder, [](nlohmann::json &m) { m["files"]["golden/1.png"] = m["files"]["golden/0.png"]; });
    std::filesystem::copy_file(folder + "/golden/0.png", folder + "/golden/1.png",
                               std::filesystem::copy_options::overwrite_existing);
    open_refused(folder, CSFLOW_ENGINE_MISMATCH, "1 of 2 verdicts differ");
}

} // namespace

int main() {
    const csflow_detector detector = opened(calibrated_bundle("good"));
    test_description(detector);
    test_verdicts(detector);
    test_bad_pictures_are_refused(detector);
    test_an_older_caller_gets_the_fields_it_knows(detector);
    test_no_byte_behind_a_picture_is_read(detector);
    test_maps(detector);
    test_self_test_takes_the_map(detector);
    CHECK(csflow_close(detector) == CSFLOW_OK && csflow_close(detector) == CSFLOW_BAD_HANDLE);
    test_bundles_that_must_not_open();
    test_manifests_that_must_not_open();
    test_an_engine_that_disagrees_does_not_open();
    test_errors_are_shares_of_the_spread_in_format_2();
    test_golden_frames_are_read_once();
    test_what_is_finite();
    return 0;
}

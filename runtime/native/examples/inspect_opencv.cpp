// A camera, a video or a folder of pictures to verdicts, with OpenCV:
//
//     inspect_opencv BUNDLE DEVICE SOURCE [FOLDER]
//
// SOURCE is the number of a camera, a folder, or what cv::VideoCapture opens: a file, rtsp://... One line for each
// picture; FOLDER gets each part that may not pass, its anomaly map drawn over it. Exit code 2 when one may not.
//
//     c++ -std=c++17 inspect_opencv.cpp -o inspect_opencv $(pkg-config --cflags --libs csflow)
//         -I/usr/include/opencv4 -lopencv_core -lopencv_imgproc -lopencv_imgcodecs -lopencv_videoio   (one command)
#include <csflow.h>

#include <opencv2/core.hpp>
#include <opencv2/core/utils/filesystem.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <opencv2/videoio.hpp>

#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

std::string last_error(csflow_detector detector) {
    char words[512];
    csflow_last_error(detector, words, sizeof words);
    return words;
}

/// Pictures one after the other; an empty one ends them.
class Source {
public:
    explicit Source(const std::string &name) {
        if (cv::utils::fs::isDirectory(name)) {
            cv::glob(name + "/*", files_);
        } else if (name.find_first_not_of("0123456789") == std::string::npos) {
            open_ = video_.open(std::stoi(name));
        } else {
            open_ = video_.open(name);
        }
        if (files_.empty() && !open_) {
            throw std::runtime_error(name + " is no folder with pictures, no camera and no video: name another");
        }
    }

    cv::Mat next(std::string &name) {
        cv::Mat picture;
        if (open_) {
            name = std::to_string(count_++);
            video_.read(picture);
        } else if (count_ < files_.size()) {
            name = files_[count_++];
            picture = cv::imread(name, cv::IMREAD_COLOR);
            if (picture.empty()) {
                throw std::runtime_error(name + " is no picture: remove it");
            }
        }
        return picture;
    }

private:
    std::vector<cv::String> files_;
    cv::VideoCapture video_;
    bool open_ = false;
    std::size_t count_ = 0;
};

class Detector {
public:
    Detector(const char *bundle, const char *device) {
        csflow_options options{};
        options.struct_size = sizeof options;
        options.api_version = CSFLOW_API_VERSION;
        options.device = device;
        if (csflow_open(&handle_, bundle, &options) != CSFLOW_OK) {
            throw std::runtime_error(last_error(0));
        }
    }
    ~Detector() { csflow_close(handle_); }
    Detector(const Detector &) = delete;
    Detector &operator=(const Detector &) = delete;

    /// The pixels stay where OpenCV has them. A failed picture is a result too: verdict ERROR.
    csflow_result detect(const cv::Mat &picture) const {
        csflow_image image{};
        image.struct_size = sizeof image;
        image.format = CSFLOW_FORMAT_BGR8;
        image.width = picture.cols;
        image.height = picture.rows;
        image.row_stride = static_cast<std::int64_t>(picture.step);
        image.data = picture.data;
        csflow_result result{};
        result.struct_size = sizeof result;
        if (csflow_detect(handle_, &image, &result) != CSFLOW_OK) {
            std::fprintf(stderr, "%s\n", last_error(handle_).c_str());
        }
        return result;
    }

    /// The last picture with its map over it: opaque where hot, clear where calm.
    cv::Mat overlay(const cv::Mat &picture, const csflow_result &result) const {
        cv::Mat map(picture.size(), CV_32F);
        const auto stride = static_cast<std::int64_t>(map.step);
        if (csflow_render_map(handle_, map.ptr<float>(), stride, map.cols, map.rows) != CSFLOW_OK) {
            return picture;
        }
        double highest = 0.0;
        cv::minMaxLoc(map, nullptr, &highest);
        // A part at the threshold stays calm: its map's mean is near twice the score.
        map /= std::max(highest, 8.0 * result.reject_threshold);
        cv::Mat levels, heat, opacity, blended;
        map.convertTo(levels, CV_8U, 255.0);
        cv::applyColorMap(levels, heat, cv::COLORMAP_INFERNO);
        cv::Mat clear = cv::min(cv::max(2.0 * map - 0.5, 0.0), 1.0);
        cv::blendLinear(heat, picture, 0.85 * clear, 1.0 - 0.85 * clear, blended);
        return blended;
    }

private:
    csflow_detector handle_ = 0;
};

bool inspect(const Detector &detector, const cv::Mat &picture, const std::string &name, const std::string &folder) {
    static const char *const names[] = {"NONE", "OK", "NOK", "UNCERTAIN", "ERROR"};
    const csflow_result result = detector.detect(picture);
    std::printf("%s\t%.9g\t%d,%d\t%s\n", names[result.verdict], result.score, result.peak_x, result.peak_y,
                name.c_str());
    const bool passed = result.verdict_code == CSFLOW_CODE_OK;
    const std::string file = folder + "/" + name.substr(name.find_last_of('/') + 1) + ".png";
    if (!passed && !folder.empty() && !cv::imwrite(file, detector.overlay(picture, result))) {
        throw std::runtime_error("cannot write " + file + ": make the folder, or free the disk");
    }
    return passed;
}

} // namespace

int main(int count, char **arguments) try {
    if (count < 4) {
        throw std::runtime_error("usage: inspect_opencv BUNDLE DEVICE SOURCE [FOLDER]");
    }
    Source source(arguments[3]);
    const Detector detector(arguments[1], arguments[2]);
    bool passed = true;
    std::string name;
    for (cv::Mat picture = source.next(name); !picture.empty(); picture = source.next(name)) {
        passed &= inspect(detector, picture, name, count > 4 ? arguments[4] : "");
    }
    return passed ? 0 : 2;
} catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}

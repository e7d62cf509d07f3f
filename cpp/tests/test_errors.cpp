#include "check.hpp"

#include "conv2d/fsq.hpp"
#include "conv2d/hsmm.hpp"
#include "conv2d/smoothing.hpp"

#include <cmath>
#include <vector>

using namespace conv2d;
using conv2d::tests::message_of;

namespace {

struct Case {
    std::vector<double> emissions = std::vector<double>(6, 0.0); // (3, 2)
    std::vector<double> transitions = std::vector<double>(4, 0.0);
    std::vector<double> initial = std::vector<double>(2, 0.0);
    std::vector<double> durations = std::vector<double>(4, 0.0); // (2, 2)

    [[nodiscard]] std::string message() const {
        return message_of([this] {
            const std::size_t frames = emissions.size() / 2;
            const HsmmModel model{
                {transitions.data(), 2, transitions.size() / 2}, initial, {durations.data(), 2, durations.size() / 2}};
            static_cast<void>(hsmm_viterbi({emissions.data(), frames, 2}, model));
        });
    }
};

} // namespace

TEST_CASE("errors: hsmm names the array, the place and the value") {
    CHECK(Case{}.message().empty());
    Case nan;
    nan.emissions[3] = std::nan("");
    CHECK(nan.message() ==
          "log_emissions row 1, column 1 is nan, expected a log score within +-1e200, or -inf for what is impossible");
    Case infinite;
    infinite.initial[1] = INFINITY;
    CHECK(infinite.message().rfind("log_initial row 1 is inf, expected", 0) == 0);
    Case huge;
    huge.durations[2] = -1e201;
    CHECK(huge.message().rfind("log_durations row 1, column 0 is -1e+201, expected", 0) == 0);
}

TEST_CASE("errors: hsmm names the shape that does not match") {
    Case wide;
    wide.transitions.resize(6);
    CHECK(wide.message() == "log_transitions has shape (2, 3), expected (2, 2), as log_emissions has 2 columns, "
                             "or one such matrix for each of the 3 frames");
    Case narrow;
    narrow.initial.resize(1);
    CHECK(narrow.message() == "log_initial has shape (1,), expected (2,), as log_emissions has 2 columns");
    Case empty;
    empty.durations.clear();
    CHECK(empty.message() ==
          "log_durations has shape (2, 0), expected (2, D) with D of at least 1, as log_emissions has 2 columns");
}

TEST_CASE("errors: hsmm says where the data became impossible") {
    Case dead;
    dead.emissions[2] = dead.emissions[3] = kNever;
    CHECK(dead.message().rfind("at frame 1 of 3 every state is impossible", 0) == 0);
    Case cut; // segments of two frames do not fill three
    cut.durations = {kNever, 0.0, kNever, 0.0};
    CHECK(cut.message().rfind("no sequence of whole segments ends at frame 3", 0) == 0);
    Case nowhere; // each state lasts two frames at most and leads nowhere
    nowhere.transitions.assign(4, kNever);
    CHECK(nowhere.message().rfind("at frame 2 of 3 every state is impossible", 0) == 0);
}

TEST_CASE("errors: fsq names the row and the value") {
    const FsqLattice fsq(std::vector<std::int64_t>{8, 5});
    const float z[] = {0.0f, 0.0f, 1.0f, std::nanf("")};
    std::int32_t codes[] = {-7, -7};
    const auto encode = [&] { fsq.encode<std::int32_t>({z, 2, 2}, codes); };
    CHECK(message_of(encode) ==
          "z row 1, column 1 is nan, expected numbers; leave out windows with missing samples, or ask "
          "for the sentinel");
    CHECK(codes[1] == -7); // nothing from there on was written
    float values[2];
    const std::int64_t outside[] = {40};
    CHECK(message_of([&] {
              fsq.decode<std::int64_t>(outside, {values, 1, 2});
          }) == "codes row 0 is 40, expected 0 to 39 for these levels");
    CHECK(message_of([] {
              FsqLattice(std::vector<std::int64_t>{8, 1});
          }) == "levels holds 1, expected 2 to 255 in each dimension");
    CHECK(message_of([] { FsqLattice(std::vector<std::int64_t>(64, 2)); }).rfind("levels make a lattice of", 0) == 0);
    CHECK(message_of([] { FsqLattice(std::vector<std::int64_t>{}); }).rfind("levels is empty", 0) == 0);
    CHECK(message_of([] { static_cast<void>(fsq_thresholds(256)); }).rfind("levels holds 256", 0) == 0);
}

TEST_CASE("errors: smoothing names the parameter") {
    const std::vector<std::int32_t> labels{1, 2, 3};
    std::vector<std::int32_t> out(3);
    const std::span<const std::int32_t> from(labels);
    const std::span<std::int32_t> to(out);
    CHECK(message_of([&] { mode_filter(from, 4, to); }) == "width is 4, expected an odd number of samples from 1");
    CHECK(message_of([&] { median_filter(from, -1, to); }).rfind("width is -1", 0) == 0);
    CHECK(message_of([&] { min_dwell(from, 0, to); }) == "min_frames is 0, expected at least 1");
    const std::vector<double> p{0.5, std::nan("")};
    bool on[2];
    CHECK(message_of([&] { hysteresis(p, 0.6, 0.4, on); }) == "p row 1 is nan, expected numbers");
    CHECK(message_of([&] { hysteresis(p, 0.4, 0.6, on); }).find("expected enter >= exit") != std::string::npos);
}

#include "hsmm_arguments.hpp"

#include "conv2d/timelines.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace conv2d::bindings {
namespace {

// (n, 3) state, start, end.
Contiguous<std::int64_t> segment_rows(std::span<const Segment> segments) {
    Contiguous<std::int64_t> array({static_cast<py::ssize_t>(segments.size()), py::ssize_t{3}});
    const auto rows = mutable_matrix(array);
    for (std::size_t n = 0; n < segments.size(); ++n) {
        rows(n, 0) = segments[n].state;
        rows(n, 1) = segments[n].start;
        rows(n, 2) = segments[n].end;
    }
    return array;
}

// (T,) the state of each frame.
Contiguous<std::int64_t> frame_states(std::span<const Segment> segments) {
    Contiguous<std::int64_t> array(segments.empty() ? 0 : static_cast<py::ssize_t>(segments.back().end));
    const auto states = mutable_vector(array);
    for (const Segment &segment : segments) {
        std::fill(states.begin() + segment.start, states.begin() + segment.end, segment.state);
    }
    return array;
}

Distinct parse_distinct(const py::object &name) {
    if (py::isinstance<py::str>(name)) {
        const auto text = name.cast<std::string>();
        if (text == "segments") {
            return Distinct::segments;
        }
        if (text == "labels") {
            return Distinct::labels;
        }
    }
    throw py::value_error("distinct is " + std::string(py::repr(name)) + ", expected 'segments' or 'labels'");
}

// Whether it is segments that count.
bool parse_risk(const py::object &name) {
    if (py::isinstance<py::str>(name)) {
        const auto text = name.cast<std::string>();
        if (text == "sample" || text == "segment") {
            return text == "segment";
        }
    }
    throw py::value_error("risk is " + std::string(py::repr(name)) + ", expected 'sample' or 'segment'");
}

py::tuple kbest(const py::object &log_emissions, const py::object &log_transitions, const py::object &log_initial,
                const py::object &log_durations, const py::object &k, const py::object &censoring,
                const py::object &distinct) {
    const HsmmArguments given(log_emissions, log_transitions, log_initial, log_durations, censoring);
    const std::int64_t count = require_integer(k, "k");
    if (count < 1) {
        throw py::value_error("k is " + std::to_string(count) + ", expected at least 1 timeline");
    }
    const Distinct kind = parse_distinct(distinct);
    const auto from = matrix(given.emissions);
    std::vector<Timeline> timelines;
    {
        const py::gil_scoped_release unlocked;
        timelines = hsmm_kbest(from, given.model, static_cast<std::size_t>(count), kind);
    }
    Contiguous<double> scores(static_cast<py::ssize_t>(timelines.size()));
    py::list segments;
    for (std::size_t n = 0; n < timelines.size(); ++n) {
        scores.mutable_at(static_cast<py::ssize_t>(n)) = timelines[n].score;
        segments.append(segment_rows(timelines[n].segments));
    }
    return py::make_tuple(scores, segments);
}

py::tuple mbr(const py::object &log_emissions, const py::object &log_transitions, const py::object &log_initial,
              const py::object &log_durations, const py::object &censoring, const py::object &risk,
              const py::object &overlap) {
    const HsmmArguments given(log_emissions, log_transitions, log_initial, log_durations, censoring);
    const bool segments = parse_risk(risk);
    const double least = require_real(overlap, "overlap");
    const auto from = matrix(given.emissions);
    Decision decision;
    {
        const py::gil_scoped_release unlocked;
        decision = segments ? hsmm_mbr_segments(from, given.model, least) : hsmm_mbr_samples(from, given.model);
    }
    const auto &timeline = decision.timeline;
    return py::make_tuple(frame_states(timeline.segments), timeline.score, segment_rows(timeline.segments),
                          decision.expected);
}

py::tuple expected_scores(const py::object &log_emissions, const py::object &log_transitions,
                          const py::object &log_initial, const py::object &log_durations, const py::object &states,
                          const py::object &censoring, const py::object &overlap) {
    const HsmmArguments given(log_emissions, log_transitions, log_initial, log_durations, censoring);
    const py::array labels = require_array(states, "states", "iu", "integers (T,)");
    require_dimensions(labels, "states", 1, "(T,)");
    const Contiguous<std::int64_t> frames(labels);
    const double least = require_real(overlap, "overlap");
    const auto from = matrix(given.emissions);
    const auto given_states = vector(frames);
    Expectation expected;
    {
        const py::gil_scoped_release unlocked;
        expected = hsmm_expected_scores(from, given.model, given_states, least);
    }
    return py::make_tuple(expected.accuracy, expected.f1);
}

} // namespace

void bind_timelines(py::module_ &module) {
    module.def("hsmm_kbest", &kbest, py::arg("log_emissions"), py::arg("log_transitions"), py::arg("log_initial"),
               py::arg("log_durations"), py::arg("k"), py::arg("censoring") = "none", py::arg("distinct") = "segments",
               R"(The k best timelines, in descending order of score.

Takes the model of `hsmm_viterbi` and raises as it does, and

k         how many, at least 1; fewer come back when fewer have a finite score
distinct  'segments': two segmentations that differ anywhere are two; 'labels': timelines that give every frame the
          same state are one, whose touching segments of one state are joined and whose score is that of the best of
          its segmentations (only where self-transitions are allowed is there a difference)

Returns (scores (n,) float64, list of n arrays of segments (m, 3) int64 with state, start, end exclusive).
Exact: the first is that of `hsmm_viterbi`, and no timeline left out scores more than the last but for rounding. Equal
scores are decided from the end backwards: the smallest final state, then the smallest duration of the last segment, and
so on. T = 0 gives one empty timeline.
Viterbi, and O((D + K) log k) for each place and state that one of the k timelines uses (Jimenez and Marzal 1999, Huang
and Chiang 2005); O(T K + n m) memory.

>>> scores, segments = hsmm_kbest([[0, -1], [0, -4]], [[0, -9], [-9, 0]], [0, 0], [[0, 0], [0, 0]], k=2)
>>> scores
array([0., 0.])
>>> [rows.tolist() for rows in segments]
[[[0, 0, 1], [0, 1, 2]], [[0, 0, 2]]]
>>> hsmm_kbest([[0, -1], [0, -4]], [[0, -9], [-9, 0]], [0, 0], [[0, 0], [0, 0]], k=2, distinct="labels")[0]
array([ 0., -5.])
)");
    module.def(
        "hsmm_mbr", &mbr, py::arg("log_emissions"), py::arg("log_transitions"), py::arg("log_initial"),
        py::arg("log_durations"), py::arg("censoring") = "none", py::arg("risk") = "sample", py::arg("overlap") = 0.5,
        R"(The timeline that is expected to be right about the most (minimum Bayes risk); Viterbi is the most likely one.

Takes the model of `hsmm_viterbi` and raises as it does, and

risk      'sample': right frames count. 'segment': right segments count, as F1; touching segments of one state are one,
          and a segment is right when the truth has one of its state whose intersection with it is at least `overlap`
          of their union
overlap   0.5 to 1 (1: the very frames), for 'segment' only

Returns (states (T,) int64, score float, segments (n, 3) int64, expected float): of the labels chosen the best
segmentation, its score as `hsmm_viterbi` counts it, and the expected accuracy or the expected F1,
2 E[right] / (segments + E[true segments]), if the model is right. The timeline is always possible: its emissions,
transitions and durations are finite. T = 0 gives empty arrays, a score of 0 and 1.

'sample' is exact over all possible timelines. The state of the largest posterior in each frame alone
(`hsmm_forward_backward`) is expected to be right as often or more, but may be no timeline of the model.
'segment' (Dinkelbach's iteration, 1967, over shortest paths) is exact for T up to 256 but for probabilities below
1e-5, and of nearly equal timelines it takes the more accurate (an F1 of 0.01 at most for an accuracy of 1, as an
overlap of a half leaves boundaries free); beyond that segments begin and end at chosen places only: four for each expected boundary, the peaks of the
posterior of boundaries, and those of `hsmm_viterbi` and of 'sample', than which it never expects less.
'sample' takes forward-backward and two passes of O(T K (K + D)); 'segment' in addition O(length) for each segment
considered, and O(D) for each frame of one that can begin where self-transitions are allowed. O(T K) memory.

>>> emissions = np.log([[0.6, 0.4], [0.6, 0.4], [0.1, 0.9]])
>>> states, _, segments, expected = hsmm_mbr(emissions, [[-np.inf, 0], [0, -np.inf]], [0, 0], [[0, 0], [0, 0]])
>>> states, round(expected, 3)
(array([0, 0, 1]), 0.766)
)");
    module.def("hsmm_expected_scores", &expected_scores, py::arg("log_emissions"), py::arg("log_transitions"),
               py::arg("log_initial"), py::arg("log_durations"), py::arg("states"), py::arg("censoring") = "none",
               py::arg("overlap") = 0.5,
               R"(What a given timeline is expected to get right, if the model is right.

Takes the model of `hsmm_viterbi`, and states (T,) int: the label of each frame. They need not be possible under the
model. Returns (expected accuracy, expected F1) as `hsmm_mbr` counts them. Raises as `hsmm_viterbi` does, on states out
of range, naming the row, and on an overlap that is not within 0.5 to 1. Forward-backward, O(length) for each segment.

>>> emissions = np.log([[0.6, 0.4], [0.6, 0.4], [0.1, 0.9]])
>>> accuracy, f1 = hsmm_expected_scores(emissions, np.log([[0.9, 0.1], [0.1, 0.9]]), [0, 0], [[0], [0]], [0, 0, 1])
>>> round(accuracy, 3)
0.512
)");
}

} // namespace conv2d::bindings

#include "hsmm_arguments.hpp"

#include "conv2d/timelines.hpp"

namespace conv2d::bindings {
namespace {

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
}

} // namespace conv2d::bindings

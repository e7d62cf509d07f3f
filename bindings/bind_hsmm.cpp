#include "hsmm_arguments.hpp"

#include <algorithm>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

namespace conv2d::bindings {
namespace {

// (states, score, segments); the segments stay where the core wrote them.
py::tuple decoded(Timeline &&timeline, std::size_t frames) {
    Contiguous<std::int64_t> states(static_cast<py::ssize_t>(frames));
    const auto labels = mutable_vector(states);
    auto owned = std::make_unique<std::vector<Segment>>(std::move(timeline.segments));
    for (const Segment &segment : *owned) {
        std::fill(labels.begin() + segment.start, labels.begin() + segment.end, segment.state);
    }
    static_assert(sizeof(Segment) == 3 * sizeof(std::int64_t) && std::is_standard_layout_v<Segment>);
    const auto rows = static_cast<py::ssize_t>(owned->size());
    const auto *numbers = reinterpret_cast<const std::int64_t *>(owned->data());
    const py::capsule owner(owned.get(), [](void *segments) { delete static_cast<std::vector<Segment> *>(segments); });
    static_cast<void>(owned.release());
    const Contiguous<std::int64_t> segments({rows, py::ssize_t{3}}, numbers, owner);
    return py::make_tuple(std::move(states), timeline.score, segments);
}

py::tuple viterbi(const py::object &log_emissions, const py::object &log_transitions, const py::object &log_initial,
                  const py::object &log_durations, const py::object &censoring) {
    const HsmmArguments given(log_emissions, log_transitions, log_initial, log_durations, censoring);
    const auto from = matrix(given.emissions);
    Timeline timeline;
    {
        const py::gil_scoped_release unlocked;
        timeline = hsmm_viterbi(from, given.model);
    }
    return decoded(std::move(timeline), from.rows);
}

py::list viterbi_many(const py::iterable &log_emissions, const py::object &log_transitions,
                      const py::object &log_initial, const py::object &log_durations, const py::object &censoring,
                      const py::object &threads) {
    std::vector<Contiguous<double>> arrays;
    std::vector<Matrix<const double>> recordings;
    for (const py::handle &one : log_emissions) {
        const std::string name = "log_emissions[" + std::to_string(arrays.size()) + "]";
        arrays.push_back(require_numbers<double>(py::reinterpret_borrow<py::object>(one), name.c_str(), 2, "(T, K)"));
        recordings.push_back(matrix(arrays.back()));
    }
    const std::int64_t workers = require_integer(threads, "threads");
    if (workers < 0) {
        throw py::value_error("threads is " + std::to_string(workers) + ", expected a count, or 0 for all processors");
    }
    const auto transitions = require_numbers<double>(log_transitions, "log_transitions", 2, "(K, K)");
    const auto initial = require_numbers<double>(log_initial, "log_initial", 1, "(K,)");
    const auto durations = require_numbers<double>(log_durations, "log_durations", 2, "(K, D)");
    const HsmmModel model{matrix(transitions), vector(initial), matrix(durations), parse_censoring(censoring)};
    std::vector<Timeline> timelines;
    {
        const py::gil_scoped_release unlocked;
        timelines = hsmm_viterbi_many(recordings, model, static_cast<std::size_t>(workers));
    }
    py::list results;
    for (std::size_t n = 0; n < recordings.size(); ++n) {
        results.append(decoded(std::move(timelines[n]), recordings[n].rows));
    }
    return results;
}

} // namespace

void bind_hsmm(py::module_ &module) {
    module.def("hsmm_viterbi", &viterbi, py::arg("log_emissions"), py::arg("log_transitions"), py::arg("log_initial"),
               py::arg("log_durations"), py::arg("censoring") = "none",
               R"(The most likely timeline under a hidden semi-Markov model with explicit durations (Yu 2010).

A segment in state k of d frames scores log_durations[k, d - 1] plus the log_emissions of its frames, and a change from
i to j scores log_transitions[i, j]; self-transitions count like any other, -inf forbids them. Scores are natural logs,
finite within +-1e200 or -inf; rows need not be normalised, they are taken as log weights.

log_emissions    (T, K) real; a frame without data is a row of zeros
log_transitions  (K, K) [from, to]; or (T, K, K), one matrix a frame: matrix t scores the change into frame t, the
                 first one is not used
log_initial      (K,)
log_durations    (K, D), column 0 is a duration of one frame; D may be larger than T
censoring        'none'; 'right': the last segment scores log P(duration >= d), d up to D; 'left', equilibrium:
                 log_initial is the distribution of the state at frame 0 and the first segment scores
                 log(P(duration >= d) / E[duration]); 'both': the two together, and a single segment over the whole
                 recording scores log(sum over u >= T of P(duration >= u) / E[duration])

Returns (states (T,) int64, score float, segments (n, 3) int64 with state, start, end exclusive). Two neighbouring
segments may have the same state where self-transitions are allowed. T = 0 gives empty arrays and a score of 0.
The score is what the recursion adds up: the sum of the path's parts but for rounding.
Equal scores are decided from the end backwards: the smallest final state, then the smallest duration of the last
segment, then the smallest state before it, its smallest duration, and so on.
Raises ValueError on shapes that do not match, on NaN or +inf (naming array, row and column), and when no timeline has
a finite score (naming the frame where every state became impossible). O(T K (K + D)) time at most: durations that
bounds rule out are not looked at, which makes long ones cheap. O(T K + K D) memory.

>>> states, score, segments = hsmm_viterbi([[0, -9], [0, -9], [-9, 0]], [[-9, 0], [0, -9]], [0, 0], [[0, 0], [0, 0]])
>>> states, score
(array([0, 0, 1]), 0.0)
>>> segments
array([[0, 0, 2],
       [1, 2, 3]])
)");
    module.def("hsmm_viterbi_many", &viterbi_many, py::arg("log_emissions"), py::arg("log_transitions"),
               py::arg("log_initial"), py::arg("log_durations"), py::arg("censoring") = "none", py::arg("threads") = 0,
               R"(The most likely timelines of many recordings under one model, over threads.

Takes the arguments of `hsmm_viterbi`, but a sequence of arrays (T, K), and log_transitions is (K, K).

threads          how many work at the same time; 0: one for each processor. The results do not depend on it.

Returns a list with what `hsmm_viterbi` returns for each recording. Raises as it does; of several recordings with
errors the first is named.

>>> [score for _, score, _ in hsmm_viterbi_many([[[0.0]], [[-1.0], [-2.0]]], [[0.0]], [0.0], [[0.0, 0.0]])]
[0.0, -3.0]
)");
}

} // namespace conv2d::bindings

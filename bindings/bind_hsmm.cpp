#include "hsmm_arguments.hpp"

namespace conv2d::bindings {
namespace {

py::tuple viterbi(const py::object &log_emissions, const py::object &log_transitions, const py::object &log_initial,
                  const py::object &log_durations, const py::object &censoring) {
    const HsmmArguments given(log_emissions, log_transitions, log_initial, log_durations, censoring);
    const auto from = matrix(given.emissions);
    Timeline timeline;
    {
        const py::gil_scoped_release unlocked;
        timeline = hsmm_viterbi(from, given.model);
    }
    return py::make_tuple(frame_states(timeline.segments), timeline.score, segment_rows(timeline.segments));
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
log_transitions  (K, K) [from, to], or (T, K, K), one matrix for the changes into each frame (the first is not used)
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
a finite score (naming the frame where every state became impossible). O(T K (K + D)) time, O(T K + K D) memory.

>>> states, score, segments = hsmm_viterbi([[0, -9], [0, -9], [-9, 0]], [[-9, 0], [0, -9]], [0, 0], [[0, 0], [0, 0]])
>>> states, score
(array([0, 0, 1]), 0.0)
>>> segments
array([[0, 0, 2],
       [1, 2, 3]])
)");
}

} // namespace conv2d::bindings

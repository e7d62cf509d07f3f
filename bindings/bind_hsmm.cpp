#include "hsmm_arguments.hpp"

namespace conv2d::bindings {
namespace {

py::tuple viterbi(const py::object &log_emissions, const py::object &log_transitions, const py::object &log_initial,
                  const py::object &log_durations, const py::object &censoring) {
    const Arguments given(log_emissions, log_transitions, log_initial, log_durations, censoring);
    const auto from = matrix(given.emissions);
    Timeline timeline;
    {
        const py::gil_scoped_release unlocked;
        timeline = hsmm_viterbi(from, given.model);
    }
    return py::make_tuple(frame_states(timeline.segments), timeline.score, segment_rows(timeline.segments));
}

template <double (*Infer)(Matrix<const double>, const HsmmModel &, Matrix<double>)>
py::tuple infer(const py::object &log_emissions, const py::object &log_transitions, const py::object &log_initial,
                const py::object &log_durations, const py::object &censoring) {
    const Arguments given(log_emissions, log_transitions, log_initial, log_durations, censoring);
    Contiguous<double> shares({given.emissions.shape(0), given.emissions.shape(1)});
    const auto from = matrix(given.emissions);
    const auto to = mutable_matrix(shares);
    double log_likelihood = 0.0;
    {
        const py::gil_scoped_release unlocked;
        log_likelihood = Infer(from, given.model, to);
    }
    return py::make_tuple(log_likelihood, shares);
}

template <typename Function> void define(py::module_ &module, const char *name, Function function, const char *doc) {
    module.def(name, function, py::arg("log_emissions"), py::arg("log_transitions"), py::arg("log_initial"),
               py::arg("log_durations"), py::arg("censoring") = "none", doc);
}

} // namespace

void bind_hsmm(py::module_ &module) {
    define(module, "hsmm_viterbi", &viterbi,
           R"(The most likely timeline under a hidden semi-Markov model with explicit durations (Yu 2010).

A segment in state k of d frames scores log_durations[k, d - 1] plus the log_emissions of its frames, and a change from
i to j scores log_transitions[i, j]; self-transitions count like any other, -inf forbids them. Scores are natural logs,
finite within +-1e200 or -inf; rows need not be normalised, they are taken as log weights.

log_emissions    (T, K) real; a frame without data is a row of zeros
log_transitions  (K, K) [from, to]
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
    define(module, "hsmm_forward_backward", &infer<hsmm_forward_backward>,
           R"(Smoothed probabilities of the states: each frame given the whole recording.

Takes the arguments of `hsmm_viterbi` and raises as it does.

Returns (log_likelihood float, posteriors (T, K) float64): the log of the summed weights of all timelines, and
P(state at t = k | all frames), whose rows sum to 1. T = 0 gives 0.0 and an empty array.
O(T K (K + D)) time, O(T K + K D) memory.

>>> hsmm_forward_backward([[0.0, 0.0]], [[-np.inf, 0], [0, -np.inf]], np.log([0.25, 0.75]), [[0.0], [0.0]])[1]
array([[0.25, 0.75]])
)");
    define(module, "hsmm_filter", &infer<hsmm_filter>,
           R"(Filtered probabilities of the states: each frame given the past and itself only.

Takes the arguments of `hsmm_viterbi` and raises as it does, but the end is always open: frames 0 .. t are a recording
that is right-censored at t, for every t. Only the start of `censoring` matters: 'right' means the same as 'none', and
'both' the same as 'left'.

Returns (log_likelihood float, filtered (T, K) float64): that of all T frames, right-censored, and
P(state at t = k | frames 0 .. t), whose rows sum to 1. T = 0 gives 0.0 and an empty array.
O(T K (K + D)) time, O(T K + K D) memory.

>>> hsmm_filter([[0.0, 0.0]], [[-np.inf, 0], [0, -np.inf]], np.log([0.25, 0.75]), [[0.0], [0.0]])[1]
array([[0.25, 0.75]])
)");
}

} // namespace conv2d::bindings

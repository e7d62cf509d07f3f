#include "hsmm_arguments.hpp"

#include "conv2d/hsmm_posteriors.hpp"

#include <algorithm>
#include <vector>

namespace conv2d::bindings {
namespace {

template <double (*Infer)(Matrix<const double>, const HsmmModel &, Matrix<double>)>
py::tuple infer(const py::object &log_emissions, const py::object &log_transitions, const py::object &log_initial,
                const py::object &log_durations, const py::object &censoring) {
    const HsmmArguments given(log_emissions, log_transitions, log_initial, log_durations, censoring);
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

py::tuple expected_counts(const py::object &log_emissions, const py::object &log_transitions,
                          const py::object &log_initial, const py::object &log_durations, const py::object &censoring) {
    const HsmmArguments given(log_emissions, log_transitions, log_initial, log_durations, censoring);
    Contiguous<double> shares({given.emissions.shape(0), given.emissions.shape(1)});
    const auto from = matrix(given.emissions);
    const auto to = mutable_matrix(shares);
    ExpectedCounts counts;
    {
        const py::gil_scoped_release unlocked;
        counts = hsmm_expected_counts(from, given.model, to);
    }
    const auto states = given.emissions.shape(1);
    const auto table = [&](const std::vector<double> &values, py::ssize_t columns) {
        Contiguous<double> array({states, columns});
        std::copy(values.begin(), values.end(), array.mutable_data());
        return array;
    };
    Contiguous<double> initial(states);
    std::copy(counts.initial.begin(), counts.initial.end(), initial.mutable_data());
    const auto longest = given.durations.shape(1);
    py::dict cut;
    cut["left"] = table(counts.cut_left, longest);
    cut["right"] = table(counts.cut_right, longest);
    cut["both"] = table(counts.cut_both, longest);
    return py::make_tuple(counts.log_likelihood, shares, initial, table(counts.transitions, states),
                          table(counts.durations, longest), cut);
}

Contiguous<double> segment_posteriors(const py::object &log_emissions, const py::object &log_transitions,
                                      const py::object &log_initial, const py::object &log_durations,
                                      const py::object &segments, const py::object &censoring) {
    const HsmmArguments given(log_emissions, log_transitions, log_initial, log_durations, censoring);
    const py::array rows = require_array(segments, "segments", "iu", "integers (state, start, end)");
    if (rows.ndim() != 2 || rows.shape(1) != 3) {
        throw py::value_error("segments has shape " + shape_text(rows) +
                              ", expected (N, 3) with state, start and end (exclusive)");
    }
    const Contiguous<std::int64_t> numbers(rows);
    const auto table = matrix(numbers);
    std::vector<Segment> wanted;
    wanted.reserve(table.rows);
    for (std::size_t row = 0; row < table.rows; ++row) {
        wanted.push_back({table(row, 0), table(row, 1), table(row, 2)});
    }
    Contiguous<double> shares(rows.shape(0));
    const auto from = matrix(given.emissions);
    const auto to = mutable_vector(shares);
    {
        const py::gil_scoped_release unlocked;
        hsmm_segment_posteriors(from, given.model, wanted, to);
    }
    return shares;
}

py::tuple boundary_posteriors(const py::object &log_emissions, const py::object &log_transitions,
                              const py::object &log_initial, const py::object &log_durations,
                              const py::object &censoring) {
    const HsmmArguments given(log_emissions, log_transitions, log_initial, log_durations, censoring);
    Contiguous<double> begins({given.emissions.shape(0), given.emissions.shape(1)});
    Contiguous<double> ends({given.emissions.shape(0), given.emissions.shape(1)});
    const auto from = matrix(given.emissions);
    const auto to_begins = mutable_matrix(begins);
    const auto to_ends = mutable_matrix(ends);
    {
        const py::gil_scoped_release unlocked;
        hsmm_boundary_posteriors(from, given.model, to_begins, to_ends);
    }
    return py::make_tuple(begins, ends);
}

template <typename Function> void define(py::module_ &module, const char *name, Function function, const char *doc) {
    module.def(name, function, py::arg("log_emissions"), py::arg("log_transitions"), py::arg("log_initial"),
               py::arg("log_durations"), py::arg("censoring") = "none", doc);
}

} // namespace

void bind_posteriors(py::module_ &module) {
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
    define(module, "hsmm_expected_counts", &expected_counts,
           R"(The expected counts that expectation maximisation needs, given the whole recording.

Takes the arguments of `hsmm_viterbi` and raises as it does.

Returns (log_likelihood float, posteriors (T, K), initial (K,), transitions (K, K), durations (K, D), cut), all float64:
the first two as `hsmm_forward_backward`; P(first state = k); the expected number of changes from i to j; the expected
number of complete segments of d frames in durations[k, d - 1]; and a dict of three (K, D) arrays with the segments
that an end of the recording cuts off, by the length that was seen: 'left', 'right' (as `censoring` says; zero where
it does not cut) and 'both', one segment over the whole recording under censoring 'both'.
Over all states, transitions and durations with the cut segments sum to the expected number of segments (less one for
transitions), and durations weighted by their length to T. T = 0 gives zeros.
O(T K (K + D)) time, O(T K + K D) memory. Yu, Hidden semi-Markov models, Artificial Intelligence 174 (2010).

>>> counts = hsmm_expected_counts(np.zeros((3, 1)), [[0.0]], [0.0], np.log([[0.5, 0.5]]))
>>> counts[4]  # of 1+1+1, 1+2 and 2+1 with weights 1/8, 1/4, 1/4
array([[1.4, 0.8]])
)");
    define(module, "hsmm_boundary_posteriors", &boundary_posteriors,
           R"(Probabilities that a segment of each state begins, and ends, with each frame, given the whole recording.

Takes the arguments of `hsmm_viterbi` and raises as it does.

Returns (begins (T, K), ends (T, K)), float64: P(a segment in state k has t as its first frame | all frames), and the
same for its last frame. All of the first row of `begins` and of the last row of `ends` sums to 1, also where censoring
cuts a segment off there. T = 0 gives empty arrays. O(T K (K + D)) time, O(T K + K D) memory.

>>> hsmm_boundary_posteriors(np.zeros((2, 1)), [[0.0]], [0.0], np.log([[0.5, 0.5]]))[0]
array([[1.        ],
       [0.33333333]])
)");
    module.def("hsmm_segment_posteriors", &segment_posteriors, py::arg("log_emissions"), py::arg("log_transitions"),
               py::arg("log_initial"), py::arg("log_durations"), py::arg("segments"), py::arg("censoring") = "none",
               R"(Probability of each given segment: that the timeline has exactly it, given the whole recording.

Takes the arguments of `hsmm_viterbi`, and segments (N, 3) of integers: state, start, end (exclusive), in any order;
they need not fit together. A segment longer than D has probability 0. At an end of the recording that `censoring`
cuts off, the segment is the part that was seen.

Returns (N,) float64. Raises as `hsmm_viterbi`, and ValueError naming the row of `segments` whose state, start or end
is out of range. O(T K (K + D)) time plus the frames of the segments, O(T K + K D) memory.

>>> hsmm_segment_posteriors(np.zeros((2, 1)), [[0.0]], [0.0], np.log([[0.5, 0.5]]), [[0, 0, 2], [0, 0, 1]])
array([0.66666667, 0.33333333])
)");
}

} // namespace conv2d::bindings

// Filtered and fixed-lag smoothed posteriors of a hidden semi-Markov model, frame by frame and in bounded memory.
#pragma once

#include "hsmm_model.hpp"
#include "stream_bytes.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace conv2d::detail {

class StreamPosteriors {
  public:
    // Copies the tables of the model. With `lag`, gives P(state at t | frames 0 .. t + lag), too.
    StreamPosteriors(const HsmmModel &model, std::optional<std::size_t> lag);

    // Takes in a frame, (K,). Writes its filtered posterior, (K,); appends the smoothed one of the frame `lag` before
    // it. False, with nothing written, when every state is impossible. O(K (D + K)), and O(lag K (lag + K)) to smooth.
    [[nodiscard]] bool push(std::span<const double> emissions, std::span<double> filtered,
                            std::vector<double> &smoothed);

    // Appends the smoothed posteriors of the last `lag` frames given all, where the recording ends and `log_final`
    // (empty or (K,)) is added to the scores of its final state. False when no timeline ends here.
    [[nodiscard]] bool flush(std::span<const double> log_final, std::vector<double> &smoothed) const;

    void save(ByteWriter &writer) const;
    void restore(ByteReader &reader);

  private:
    // Log scores, by state and place, that a window of the newest places holds side by side, the newest first.
    class Window {
      public:
        Window(std::size_t states, std::size_t width);
        void push(std::span<const double> newest); // (K,)
        [[nodiscard]] const double *nearest_first(std::size_t state) const {
            return values_.data() + state * stride_ + first_;
        }
        void add(std::size_t state, double amount);
        std::vector<double> values_;
        std::size_t width_, stride_, first_;
    };
    // What smoothing needs of a place that lies behind the frame smoothed last.
    struct Row {
        std::vector<double> entered;   // (K,) log score of all that leads to a segment beginning there
        std::vector<double> covering;  // (K,) of all segments that end there and began at or before that frame
        std::vector<double> emissions; // (K,) of the frame behind the place; empty at the end
    };

    [[nodiscard]] double ends(std::size_t state, const double *later, const double *opening, std::size_t skip) const;
    void next_smoothed();
    [[nodiscard]] bool smooth(const SegmentWeights &weights, std::span<const double> log_final,
                              std::span<double> shares) const;
    void rebase();

    std::size_t states_;
    SegmentWeights closed_; // the model's own end
    SegmentWeights open_;   // an end that is open
    std::vector<double> transitions_;
    std::optional<std::size_t> lag_;

    std::size_t end_ = 0;
    std::vector<double> sums_;    // (K,) emissions since they were last added to the places
    std::vector<double> entered_; // (K,) log score of all that leads to a segment beginning at end_
    Window places_;               // those scores of the places before end_, less the sum there
    std::vector<Row> rows_;       // of the places smoothed_ .. end_
    std::size_t smoothed_ = 0;    // frames whose turn has come; only starts before it are in `covering`
};

} // namespace conv2d::detail

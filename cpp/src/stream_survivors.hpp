// Which paths of a Viterbi pass can still become part of the best one, and where they meet.
#pragma once

#include "hsmm_viterbi_pass.hpp"

#include <cstddef>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace conv2d::detail {

// The beginning of a segment, before frame `place`. All that lies before it on the best path to it is settled.
struct Beginning {
    std::size_t place = 0;
    std::size_t state = 0;
    bool operator==(const Beginning &) const = default;
};

struct Meeting {
    Beginning at;          // the latest beginning that all surviving paths have in common
    std::size_t until = 0; // none of them leaves its state before this place
};

class Survivors {
  public:
    // Looks at the pass until it is told to forget it.
    explicit Survivors(const HsmmModel &model);

    // Brings the list of surviving beginnings up to the end of the pass. False when none is left.
    //
    // Of two segments under way in one state all that the future brings is the same but for their durations. One that
    // scores less than another at every end that it can still have is out for good; so only those are kept that are
    // the best, or within rounding of it, for at least one end. O(survivors x D) for each state, and for new frames
    // O(D) each.
    [[nodiscard]] bool update(const ViterbiPass &pass);

    // The places before which segments of a state begin that survive, ascending.
    [[nodiscard]] std::span<const std::size_t> places(std::size_t state) const { return places_[state]; }

    // Where all surviving paths meet; nothing while they begin in different states. O(distinct segments back to it).
    [[nodiscard]] std::optional<Meeting> meet(const ViterbiPass &pass);

    // The best segment of `state` that ends at place `end`, which must be on a surviving path.
    [[nodiscard]] Beginning ending(const ViterbiPass &pass, std::size_t end, std::size_t state);

    // The beginning of the segment before this one on the best path to it. Needs place > 0.
    [[nodiscard]] Beginning before(const ViterbiPass &pass, Beginning one);

    // Nothing before `place` will be asked for.
    void forget_before(std::size_t place);

    // The pass was replaced.
    void clear();

  private:
    struct Ending {
        Beginning at;
        double score;
    };

    void keep_best(const ViterbiPass &pass, std::size_t state);
    template <typename Table>
    void keep_best_ends(std::size_t end, const std::vector<std::size_t> &places, Table &&table);

    SegmentWeights weights_;
    std::vector<double> transitions_;
    std::size_t states_;
    bool to_right_;
    std::size_t seen_ = 0;                         // the end of the pass at the last update
    bool possible_ = true;                         // what that found
    std::vector<std::vector<std::size_t>> places_; // by state, ascending: beginnings that survive
    std::vector<Ending> ending_now_;               // segments that could end the recording at the end of the pass
    std::vector<double> scores_, best_, bar_;      // scratch
    std::vector<char> able_, kept_;
    std::unordered_map<std::size_t, std::size_t> begun_; // end * states + state -> where the best segment began
};

} // namespace conv2d::detail

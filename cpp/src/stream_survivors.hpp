// Which paths of a Viterbi pass can still become part of the best one, and where they meet.
#pragma once

#include "hsmm_viterbi_pass.hpp"
#include "stream_bytes.hpp"

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
    Beginning at;          // the latest part that all surviving paths have in common
    std::size_t until = 0; // none of them leaves its state before this place
};

// A path is a chain of parts: its segments or, joined, the runs of segments of one state. Once the survivors have met,
// the parts behind the meeting are known by themselves, and the pass may forget all but its window.
class Survivors {
  public:
    Survivors(const HsmmModel &model, bool join);

    // Brings the list of surviving beginnings up to the end of the pass. False when none is left.
    //
    // The end of the recording counts as open whatever the model says: the best timeline so far, as if the recording
    // went on, is then one of the survivors', too.
    //
    // Of two segments under way in one state all that the future brings is the same but for their durations. One that
    // scores less than another at every end that it can still have is out for good; so only those are kept that are
    // the best, or within rounding of it, for at least one end. O(survivors x D) for each state, and for new frames
    // O(D) each.
    [[nodiscard]] bool update(const ViterbiPass &pass);

    // The last segment of the best path at the end of the last update, as if the recording went on; of equals the
    // smallest state, then the shortest segment. One of the longest duration ends here in any case.
    [[nodiscard]] std::optional<Beginning> best() const { return best_now_; }

    // Where all surviving paths meet; nothing while they begin in different states. O(distinct parts back to it).
    [[nodiscard]] std::optional<Meeting> meet(const ViterbiPass &pass);

    // The best segment of `state` that ends at place `end`, which must be on a surviving path.
    [[nodiscard]] static Beginning ending(const ViterbiPass &pass, std::size_t end, std::size_t state);

    // The part that a segment belongs to, and the part before a part. The latter needs place > 0.
    [[nodiscard]] Beginning part(const ViterbiPass &pass, Beginning segment);
    [[nodiscard]] Beginning before(const ViterbiPass &pass, Beginning part);

    // Keeps of the known parts those that the paths met on their way back.
    void forget_others();

    // The pass was replaced by one that knows only one path up to `until`, whose last part is `last` where parts are
    // runs.
    void start_again(Beginning last, std::size_t until);

    void save(ByteWriter &writer) const;
    void restore(ByteReader &reader, std::size_t end);

  private:
    struct Ending {
        Beginning at;
        double score;
    };

    [[nodiscard]] std::size_t key(Beginning one) const { return one.place * states_ + one.state; }
    [[nodiscard]] Beginning of(std::size_t key) const { return {key / states_, key % states_}; }
    [[nodiscard]] static Beginning before_segment(const ViterbiPass &pass, Beginning segment);
    void keep_best(const ViterbiPass &pass, std::size_t state);
    [[nodiscard]] std::optional<Beginning> find_best(const ViterbiPass &pass) const;
    template <typename Table>
    void keep_best_ends(std::size_t end, const std::vector<std::size_t> &places, Table &&table);

    SegmentWeights weights_; // of the model with an open end
    std::vector<double> transitions_;
    std::size_t states_;
    bool to_right_, join_;                         // to_right_: the recording may end within a segment
    std::size_t seen_ = 0;                         // the end of the pass at the last update
    bool possible_ = true;                         // what that found
    std::vector<std::vector<std::size_t>> places_; // by state, ascending: beginnings that survive
    std::optional<Beginning> best_now_;
    std::vector<Ending> ending_now_;          // segments that could end the recording at the end of the pass
    std::vector<double> scores_, best_, bar_; // scratch
    std::vector<char> able_, kept_;

    // By key: the part before a part, and where the run began that a segment belongs to.
    std::unordered_map<std::size_t, std::size_t> before_, runs_;
    std::vector<std::size_t> met_parts_, met_segments_; // keys that the last meet() came by
    Beginning settled_;                                 // the run of all segments that begin before settled_until_
    std::size_t settled_until_ = 0;
};

} // namespace conv2d::detail

#include "conv2d/stream.hpp"

#include "hsmm_viterbi_pass.hpp"
#include "stream_posteriors.hpp"
#include "stream_survivors.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <stdexcept>
#include <string>

namespace conv2d {
namespace {

using detail::Beginning;
using detail::ByteReader;
using detail::ByteWriter;
using detail::Checksum;
using detail::Meeting;
using detail::ViterbiPass;

constexpr std::array<char, 8> kMagic = {'c', 'v', '2', 'd', 'h', 's', 'm', 'm'};
constexpr std::uint32_t kVersion = 1;
constexpr std::uint32_t kByteOrder = 0x01020304;
constexpr std::size_t kHeader = kMagic.size() + 2 * sizeof(std::uint32_t) + sizeof(std::uint64_t);
constexpr std::size_t kBulkFrames = 8192; // between two looks within one push, for the sake of memory alone

std::int64_t signed_size(std::size_t value) { return static_cast<std::int64_t>(value); }

Segment segment(std::size_t state, std::size_t start, std::size_t end) {
    return {signed_size(state), signed_size(start), signed_size(end)};
}

void check_options(const StreamOptions &options) {
    const auto at_least = [](const char *name, std::int64_t value, std::int64_t least) {
        if (value < least) {
            throw std::invalid_argument(std::string(name) + " is " + std::to_string(value) + ", expected at least " +
                                        std::to_string(least));
        }
    };
    at_least("lag_frames", options.lag_frames.value_or(1), options.log_final.empty() ? 0 : 1);
    at_least("smoothing_lag_frames", options.smoothing_lag_frames.value_or(0), 0);
    at_least("check_frames", options.check_frames, 1);
}

} // namespace

struct HsmmStream::State {
    State(const HsmmModel &model, const StreamOptions &options);

    [[nodiscard]] HsmmModel model() const {
        const std::size_t states = initial.size();
        return {{transitions.data(), states, states},
                initial,
                {durations.data(), states, durations.size() / states},
                censoring};
    }
    [[nodiscard]] StreamOptions options() const;
    [[nodiscard]] std::size_t longest() const { return durations.size() / initial.size(); }

    void check(Matrix<const double> log_emissions) const;
    void take(Matrix<const double> log_emissions, StreamOutput &output);
    void look(StreamOutput &output);
    void bound(StreamOutput &output);
    void meet(StreamOutput &output);
    void give(const std::vector<Segment> &path, StreamOutput &output);
    void force(std::size_t place, StreamOutput &output);
    void follow(const std::vector<Segment> &path, std::size_t place);
    [[nodiscard]] std::vector<Segment> path_to(const ViterbiPass &from, Beginning last, std::size_t end) const;
    [[nodiscard]] double finish(bool ends, StreamOutput &output) const;
    [[nodiscard]] std::size_t frames() const { return pass.end() + (held.empty() ? 0 : 1); }
    [[nodiscard]] std::uint64_t mark() const;
    void write(ByteWriter &writer) const;
    void read(ByteReader &reader);
    [[noreturn]] void throw_impossible(std::size_t frame);

    // The model and the options.
    std::vector<double> transitions, initial, durations, final;
    Censoring censoring;
    std::optional<std::size_t> lag, smoothing_lag;
    bool filtered, join;
    std::size_t check_frames;
    std::size_t step = 0; // frames between two looks at the bound

    // What the frames have brought.
    ViterbiPass pass;
    mutable detail::Survivors survivors;
    std::optional<detail::StreamPosteriors> posteriors;
    std::vector<double> held; // the last frame where log_final may have to be added to it, else empty
    std::size_t looked = 0;   // frames of the pass when survivors were last brought together
    std::optional<Meeting> met;
    bool failed = false, flushed = false;

    // For the bound: a second pass that lags behind and is only shown what is decided, to start again from.
    std::optional<ViterbiPass> decided_pass;
    std::vector<double> recent;        // rows of the frames that it has not seen
    std::deque<Segment> decided_parts; // what is decided of these frames
    std::size_t forced_commits = 0, forced_frames = 0;
};

namespace {

// Shapes and values, before anything is copied.
const HsmmModel &checked(const HsmmModel &model, const StreamOptions &options) {
    const std::size_t states = model.log_initial.size();
    detail::check_hsmm({nullptr, 0, states}, model);
    if (model.log_transitions.rows != states) {
        throw std::invalid_argument("log_transitions has " + std::to_string(model.log_transitions.rows) +
                                    " rows, expected " + std::to_string(states) + " for a stream");
    }
    check_options(options);
    if (!options.log_final.empty() && options.log_final.size() != states) {
        throw std::invalid_argument("log_final has shape (" + std::to_string(options.log_final.size()) +
                                    ",), expected (" + std::to_string(states) + ",)");
    }
    detail::check_scores({options.log_final.data(), 1, options.log_final.size()}, "log_final", true);
    return model;
}

} // namespace

HsmmStream::State::State(const HsmmModel &given, const StreamOptions &options)
    : transitions(checked(given, options).log_transitions.data,
                  given.log_transitions.data + given.log_transitions.rows * given.log_transitions.cols),
      initial(given.log_initial.begin(), given.log_initial.end()),
      durations(given.log_durations.data,
                given.log_durations.data + given.log_durations.rows * given.log_durations.cols),
      final(options.log_final.begin(), options.log_final.end()), censoring(given.censoring), filtered(options.filtered),
      join(options.join), check_frames(static_cast<std::size_t>(options.check_frames)), pass(given),
      survivors(given, options.join) {
    if (options.smoothing_lag_frames) {
        smoothing_lag = static_cast<std::size_t>(*options.smoothing_lag_frames);
    }
    if (filtered || smoothing_lag) {
        posteriors.emplace(model(), smoothing_lag);
    }
    if (options.lag_frames) {
        // A frame that is held back has already had one to follow it when the pass sees it.
        lag = static_cast<std::size_t>(*options.lag_frames) - (final.empty() ? 0 : 1);
        step = std::max<std::size_t>((*lag + 1) / 8, 1);
        decided_pass.emplace(model());
    }
}

StreamOptions HsmmStream::State::options() const {
    StreamOptions options{std::nullopt, filtered, std::nullopt, signed_size(check_frames), join, final};
    if (smoothing_lag) {
        options.smoothing_lag_frames = signed_size(*smoothing_lag);
    }
    if (lag) {
        options.lag_frames = signed_size(*lag) + (final.empty() ? 0 : 1);
    }
    return options;
}

void HsmmStream::State::check(Matrix<const double> log_emissions) const {
    if (flushed) {
        throw std::invalid_argument("the stream was flushed, expected reset() before the next recording");
    }
    if (failed) {
        throw std::invalid_argument("the stream has come to where no timeline is possible, expected reset()");
    }
    if (log_emissions.cols != initial.size()) {
        throw std::invalid_argument("log_emissions has shape (" + std::to_string(log_emissions.rows) + ", " +
                                    std::to_string(log_emissions.cols) + "), expected (n, " +
                                    std::to_string(initial.size()) + "), one column for each state");
    }
    detail::check_emissions(log_emissions);
    for (std::size_t t = 0; t < log_emissions.rows; ++t) {
        const auto row = log_emissions.row(t);
        if (std::all_of(row.begin(), row.end(), [](double score) { return score == kNever; })) {
            throw std::invalid_argument("log_emissions row " + std::to_string(t) +
                                        " is -inf in every column, expected a finite score for at least one state");
        }
    }
}

void HsmmStream::State::throw_impossible(std::size_t frame) {
    failed = true;
    throw std::invalid_argument("by frame " + std::to_string(frame) +
                                " every state is impossible, expected a finite score for at least one timeline; look "
                                "for -inf in log_emissions there, and in transitions and durations before it");
}

// Frames into the pass, with looks where memory or the bound needs them.
void HsmmStream::State::take(Matrix<const double> log_emissions, StreamOutput &output) {
    const std::size_t states = initial.size();
    const std::size_t bulk = std::max(kBulkFrames, 16 * longest());
    for (std::size_t t = 0; t < log_emissions.rows;) {
        const double *rows = log_emissions.row(t).data();
        std::size_t count = std::min(log_emissions.rows - t, looked + bulk - pass.end());
        if (lag) {
            count = std::min(count, step - pass.end() % step);
            recent.insert(recent.end(), rows, rows + count * states);
        }
        pass.push({rows, count, states});
        t += count;
        if (lag && pass.end() % step == 0) {
            bound(output);
        } else if (pass.end() - looked >= bulk) {
            look(output);
        }
    }
}

// Finds out what has become final.
void HsmmStream::State::look(StreamOutput &output) {
    if (pass.end() > looked) {
        looked = pass.end();
        if (!survivors.update(pass)) {
            throw_impossible(pass.end() - 1);
        }
        meet(output);
    }
}

void HsmmStream::State::meet(StreamOutput &output) {
    const auto meeting = survivors.meet(pass);
    if (meeting) {
        give(path_to(pass, meeting->at, meeting->at.place), output);
        met = meeting;
    }
    survivors.forget_others();
    pass.forget_before(pass.end() - std::min(pass.end(), longest()));
}

void HsmmStream::State::give(const std::vector<Segment> &path, StreamOutput &output) {
    output.segments.insert(output.segments.end(), path.begin(), path.end());
    if (lag) {
        decided_parts.insert(decided_parts.end(), path.begin(), path.end());
    }
}

// Sees to it that no frame waits longer than the bound, whenever the next look at it comes.
void HsmmStream::State::bound(StreamOutput &output) {
    look(output);
    const std::size_t ahead = *lag - step + 1; // frames that may be open now
    if (pass.end() <= ahead) {
        return;
    }
    const std::size_t place = pass.end() - ahead;
    if (!met || met->until < place) {
        force(place, output);
    } else {
        follow({segment(met->at.state, met->at.place, met->until)}, place);
    }
}

// Takes the states before `place` as the most likely path has them, and decodes the frames behind it again.
void HsmmStream::State::force(std::size_t place, StreamOutput &output) {
    const auto best = survivors.best();
    if (!best) {
        throw_impossible(pass.end() - 1);
    }
    ++forced_commits;
    forced_frames += place - (met ? met->until : 0);
    const auto path = path_to(pass, survivors.part(pass, *best), pass.end());
    follow(path, place);
    if (join) {
        const auto last =
            std::find_if(path.begin(), path.end(), [&](const Segment &run) { return run.end >= signed_size(place); });
        give({path.begin(), last}, output);
        met = Meeting{{static_cast<std::size_t>(last->start), static_cast<std::size_t>(last->state)}, place};
    }
    pass.restore(decided_pass->save());
    pass.push({recent.data(), recent.size() / initial.size(), initial.size()});
    survivors.start_again(met ? met->at : Beginning{}, place);
    if (!survivors.update(pass)) {
        throw_impossible(pass.end() - 1);
    }
    meet(output);
}

// Shows the second pass the frames up to `place`, but of their scores only those of the states that are decided: what
// was given out, then `path`.
void HsmmStream::State::follow(const std::vector<Segment> &path, std::size_t place) {
    const std::size_t states = initial.size();
    const std::size_t first = decided_pass->end();
    auto part = path.begin();
    for (std::size_t t = first; t < place; ++t) {
        while (!decided_parts.empty() && decided_parts.front().end <= signed_size(t)) {
            decided_parts.pop_front();
        }
        while (decided_parts.empty() && part->end <= signed_size(t)) {
            ++part;
        }
        const auto state = static_cast<std::size_t>(decided_parts.empty() ? part->state : decided_parts.front().state);
        double *row = recent.data() + (t - first) * states;
        const double score = row[state];
        std::fill_n(row, states, kNever);
        row[state] = score;
    }
    decided_pass->push({recent.data(), place - first, states});
    recent.erase(recent.begin(), recent.begin() + static_cast<std::ptrdiff_t>((place - first) * states));
    // Without runs to name them by, the segments of what is decided have to be found again.
    decided_pass->forget_before(join ? place - std::min(place, longest()) : met ? met->at.place : 0);
}

// The parts of the best path from where the paths met last to `last`, which goes up to `end` and is left out where it
// is empty.
std::vector<Segment> HsmmStream::State::path_to(const ViterbiPass &from, Beginning last, std::size_t end) const {
    std::vector<Segment> path;
    if (end > last.place) {
        path.push_back(segment(last.state, last.place, end));
    }
    const std::size_t base = met ? met->at.place : 0;
    while (last.place > base) {
        const Beginning earlier = survivors.before(from, last);
        path.push_back(segment(earlier.state, earlier.place, last.place));
        last = earlier;
    }
    std::reverse(path.begin(), path.end());
    return path;
}

double HsmmStream::State::finish(bool ends, StreamOutput &output) const {
    if (frames() == 0) {
        return 0.0;
    }
    std::optional<ViterbiPass> with_held;
    if (!held.empty()) {
        std::vector<double> row = held;
        for (std::size_t k = 0; k < row.size() && ends; ++k) {
            row[k] += final[k];
        }
        with_held.emplace(model()).restore(pass.save());
        with_held->push({row.data(), 1, row.size()});
    }
    const ViterbiPass &whole = with_held ? *with_held : pass;
    const auto scores = whole.end_scores();
    const auto best = std::max_element(scores.begin(), scores.end()); // the first of equals
    if (*best == kNever) {
        throw std::invalid_argument("no sequence of whole segments ends at frame " + std::to_string(frames()) +
                                    ", expected one with a finite score; use censoring 'right' or 'both' for a "
                                    "recording that may end within a segment");
    }
    StreamOutput rest;
    if (posteriors &&
        !posteriors->flush(ends ? std::span<const double>(final) : std::span<const double>(), rest.smoothed)) {
        throw std::invalid_argument("no sequence of whole segments ends at frame " + std::to_string(frames()));
    }
    const auto state = static_cast<std::size_t>(best - scores.begin());
    const Beginning last{whole.end() - whole.last_duration(state), state};
    const auto path = path_to(whole, survivors.part(whole, last), whole.end());
    output.segments.insert(output.segments.end(), path.begin(), path.end());
    output.smoothed.insert(output.smoothed.end(), rest.smoothed.begin(), rest.smoothed.end());
    return whole.absolute(*best);
}

std::uint64_t HsmmStream::State::mark() const {
    Checksum sum;
    const std::int64_t numbers[] = {signed_size(initial.size()),
                                    signed_size(longest()),
                                    static_cast<std::int64_t>(censoring),
                                    lag ? signed_size(*lag) : -1,
                                    smoothing_lag ? signed_size(*smoothing_lag) : -1,
                                    (filtered ? 1 : 0) + (join ? 2 : 0),
                                    signed_size(final.size())};
    sum.add_values(std::span<const std::int64_t>(numbers));
    for (const std::vector<double> *part : {&transitions, &initial, &durations, &final}) {
        sum.add_values(std::span<const double>(*part));
    }
    return sum.value();
}

void HsmmStream::State::write(ByteWriter &writer) const {
    writer.raw(std::as_bytes(std::span(kMagic)));
    writer.value(kVersion);
    writer.value(kByteOrder);
    writer.value(mark());
    const std::uint64_t numbers[] = {failed, flushed, looked, forced_commits, forced_frames};
    writer.values(std::span<const std::uint64_t>(numbers));
    std::vector<std::uint64_t> meeting;
    if (met) {
        meeting = {met->at.place, met->at.state, met->until};
    }
    writer.values(std::span<const std::uint64_t>(meeting));
    writer.values(std::span<const double>(held));
    const auto part = pass.save();
    writer.values(std::span<const std::byte>(part));
    survivors.save(writer);
    if (lag) {
        const auto behind = decided_pass->save();
        writer.values(std::span<const std::byte>(behind));
        writer.values(std::span<const double>(recent));
        std::vector<std::int64_t> parts;
        for (const Segment &one : decided_parts) {
            parts.insert(parts.end(), {one.state, one.start, one.end});
        }
        writer.values(std::span<const std::int64_t>(parts));
    }
    if (posteriors) {
        posteriors->save(writer);
    }
}

// Into a state that has just been made; what cannot be is refused, whatever the check sum says.
void HsmmStream::State::read(ByteReader &reader) {
    const auto require = [](bool holds) {
        if (!holds) {
            ByteReader::refuse();
        }
    };
    const std::size_t states = initial.size();
    const auto numbers = reader.values<std::uint64_t>();
    const auto meeting = reader.values<std::uint64_t>();
    require(numbers.size() == 5 && (meeting.empty() || meeting.size() == 3));
    failed = numbers[0] != 0;
    flushed = numbers[1] != 0;
    looked = static_cast<std::size_t>(numbers[2]);
    forced_commits = static_cast<std::size_t>(numbers[3]);
    forced_frames = static_cast<std::size_t>(numbers[4]);
    held = reader.values<double>();
    require(held.empty() || (held.size() == states && !final.empty()));
    pass.restore(reader.values<std::byte>());
    require(looked <= pass.end());
    if (!meeting.empty()) {
        met = Meeting{{static_cast<std::size_t>(meeting[0]), static_cast<std::size_t>(meeting[1])},
                      static_cast<std::size_t>(meeting[2])};
        require(met->at.state < states && met->until <= pass.end());
    }
    survivors.restore(reader, pass.end());
    if (lag) {
        decided_pass->restore(reader.values<std::byte>());
        recent = reader.values<double>();
        require(decided_pass->end() <= pass.end() && recent.size() == (pass.end() - decided_pass->end()) * states);
        const auto parts = reader.values<std::int64_t>();
        require(parts.size() % 3 == 0);
        for (std::size_t n = 0; n < parts.size(); n += 3) {
            const Segment one{parts[n], parts[n + 1], parts[n + 2]};
            require(one.state >= 0 && one.state < signed_size(states) && one.start < one.end &&
                    (decided_parts.empty() || decided_parts.back().end == one.start));
            decided_parts.push_back(one);
        }
        require(decided_parts.empty() || decided_parts.back().end == signed_size(met ? met->at.place : 0));
    }
    if (posteriors) {
        posteriors->restore(reader);
    }
    require(reader.done());
}

HsmmStream::HsmmStream(const HsmmModel &model, const StreamOptions &options)
    : state_(std::make_unique<State>(model, options)) {}
HsmmStream::HsmmStream(HsmmStream &&) noexcept = default;
HsmmStream &HsmmStream::operator=(HsmmStream &&) noexcept = default;
HsmmStream::~HsmmStream() = default;

void HsmmStream::push(Matrix<const double> log_emissions, StreamOutput &output) {
    State &now = *state_;
    now.check(log_emissions);
    const std::size_t states = log_emissions.cols;
    if (log_emissions.rows == 0) {
        return;
    }
    if (now.posteriors) {
        std::vector<double> row(states);
        for (std::size_t t = 0; t < log_emissions.rows; ++t) {
            if (!now.posteriors->push(log_emissions.row(t), row, output.smoothed)) {
                now.throw_impossible(now.frames() + t);
            }
            if (now.filtered) {
                output.filtered.insert(output.filtered.end(), row.begin(), row.end());
            }
        }
    }
    if (now.final.empty()) {
        now.take(log_emissions, output);
    } else {
        if (!now.held.empty()) {
            now.take({now.held.data(), 1, states}, output);
        }
        now.take({log_emissions.data, log_emissions.rows - 1, states}, output);
        const auto last = log_emissions.row(log_emissions.rows - 1);
        now.held.assign(last.begin(), last.end());
    }
    if (now.pass.end() - now.looked >= now.check_frames) {
        now.look(output);
    }
}

double HsmmStream::flush(StreamOutput &output, bool ends) {
    state_->check({nullptr, 0, state_->initial.size()});
    const double score = state_->finish(ends, output);
    state_->flushed = true;
    return score;
}

void HsmmStream::reset() { state_ = std::make_unique<State>(state_->model(), state_->options()); }

std::vector<Segment> HsmmStream::tentative() const {
    const State &now = *state_;
    if (now.failed || now.flushed || now.frames() == 0) {
        return {};
    }
    // A frame that is held back belongs to what it follows; the first one stands for itself.
    if (now.pass.end() == 0) {
        std::size_t best = 0;
        for (std::size_t k = 1; k < now.initial.size(); ++k) {
            best = now.initial[k] + now.held[k] > now.initial[best] + now.held[best] ? k : best;
        }
        return {segment(best, 0, 1)};
    }
    if (!now.survivors.update(now.pass)) {
        return {};
    }
    const auto best = now.survivors.best();
    if (!best) {
        return {};
    }
    auto path = now.path_to(now.pass, now.survivors.part(now.pass, *best), now.pass.end());
    path.back().end = signed_size(now.frames());
    return path;
}

std::optional<OpenSegment> HsmmStream::open() const {
    const auto &met = state_->met;
    if (!met || state_->flushed) {
        return std::nullopt;
    }
    return OpenSegment{signed_size(met->at.state), signed_size(met->at.place), signed_size(met->until)};
}

std::int64_t HsmmStream::states() const { return signed_size(state_->initial.size()); }

std::int64_t HsmmStream::frames() const { return signed_size(state_->frames()); }

std::int64_t HsmmStream::decided() const {
    return state_->flushed ? frames() : state_->met ? signed_size(state_->met->until) : 0;
}

bool HsmmStream::flushed() const { return state_->flushed; }

std::int64_t HsmmStream::forced_commits() const { return signed_size(state_->forced_commits); }

std::int64_t HsmmStream::forced_frames() const { return signed_size(state_->forced_frames); }

std::vector<std::byte> HsmmStream::save() const {
    ByteWriter writer;
    state_->write(writer);
    Checksum sum;
    sum.add(writer.bytes());
    writer.value(sum.value());
    return writer.take();
}

void HsmmStream::restore(std::span<const std::byte> bytes) {
    ByteReader reader(bytes);
    if (bytes.size() < kMagic.size() ||
        !std::equal(kMagic.begin(), kMagic.end(), reinterpret_cast<const char *>(reader.take(kMagic.size()).data()))) {
        throw std::invalid_argument("the saved state has no mark of a stream, expected the bytes that save() gave");
    }
    if (const auto version = reader.value<std::uint32_t>(); version != kVersion) {
        throw std::invalid_argument("the saved state has version " + std::to_string(version) + ", expected " +
                                    std::to_string(kVersion) + "; save it again with this version of conv2d");
    }
    if (reader.value<std::uint32_t>() != kByteOrder) {
        throw std::invalid_argument("the saved state is of a machine with another byte order, expected one like this");
    }
    const auto mark = reader.value<std::uint64_t>();
    const std::size_t before = bytes.size() >= sizeof(std::uint64_t) ? bytes.size() - sizeof(std::uint64_t) : 0;
    Checksum sum;
    sum.add(bytes.first(before));
    if (sum.value() != ByteReader(bytes.subspan(before)).value<std::uint64_t>()) {
        ByteReader::refuse();
    }
    if (mark != state_->mark()) {
        throw std::invalid_argument("the saved state is of another model or other options, expected those that this "
                                    "stream was made with");
    }
    auto restored = std::make_unique<State>(state_->model(), state_->options());
    ByteReader content(bytes.first(before).subspan(kHeader));
    restored->read(content);
    state_ = std::move(restored);
}

} // namespace conv2d

// Smoothing of label sequences: whatever the input, no filter here brings a label that was not there, and none
// leaves more transitions (places where the label changes) than it was given.
//
// Labels are any integers; they are compared, never computed with. Both ends of a recording are continued by their
// own label, so that a filter of `width` looks at exactly `width` samples everywhere. Label is std::uint8_t, int8_t,
// int16_t, int32_t or int64_t. Recordings that come in pieces: smoothing_streams.hpp.
#pragma once

#include <cstdint>
#include <span>

namespace conv2d {

// Most frequent label of the window centred on each sample; of labels that are equally frequent the sample's own,
// else the smallest. For nominal labels. `width` must be odd. `smoothed` must not overlap with `labels`.
// O(T width^2 / lanes) up to a width of 15, where a window is compared with itself in all byte lanes at once; beyond,
// O(T) for labels within a range of 256 (when the winner leaves the window, it is looked for among them), else
// O(T log n) for n distinct labels.
//
// With two labels this is the median filter, which cannot add a transition. With more, a window can: rare inputs
// whose filtered sequence has more transitions than they had themselves are then reduced to their number by merging
// the shortest inner segments as min_dwell does. The same holds for median_filter.
template <typename Label>
void mode_filter(std::span<const Label> labels, std::int64_t width, std::span<Label> smoothed);

// Median of the window centred on each sample. For labels whose order means something. Cost as mode_filter, with
// sorting networks for the short windows.
template <typename Label>
void median_filter(std::span<const Label> labels, std::int64_t width, std::span<Label> smoothed);

// Leaves no segment shorter than `min_frames` between the first and the last one; those two are cut off by the ends
// of the recording, so that their length is not known, and are never removed.
//
// As long as an inner segment is too short, the shortest one (of equals the earliest) goes to the longer of its two
// neighbours (of equals the earlier); neighbours with the same label become one segment with it. O(T).
// `min_frames` must be at least 1. `smoothed` may be `labels` itself.
template <typename Label>
void min_dwell(std::span<const Label> labels, std::int64_t min_frames, std::span<Label> smoothed);

// Off before the first sample, on from p >= enter, off again from p < exit. Needs enter >= exit. Throws on NaN, where
// `on` is left half written. Never more transitions than p >= enter alone. O(T).
void hysteresis(std::span<const double> p, double enter, double exit, std::span<bool> on);
void hysteresis(std::span<const float> p, double enter, double exit, std::span<bool> on);

} // namespace conv2d

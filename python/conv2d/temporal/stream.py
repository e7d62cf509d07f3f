"""The timeline while it happens: frames in, segments out as soon as nothing can change them any more."""

import hashlib
import json
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from conv2d.errors import UsageError
from conv2d.temporal.protocol import FloatArray, IntArray
from conv2d_core import HsmmStream as CoreStream

if TYPE_CHECKING:
    from conv2d.temporal.model import SegmentModel

MAGIC = b"conv2d-stream/1\n"
HEADER = struct.Struct("<q?qqq")
"""Rows given out as smoothed, whether a segment is kept back, and that segment."""
CHECK = struct.Struct("<I")
"""CRC-32 of what follows; it stands behind the model's SHA-256."""


@dataclass(frozen=True)
class StreamEvents:
    """What one push, or the end, made known.

    Attributes:
        segments: (n, 3) int64 label, first frame, frame after the last; final. Frames count from the stream's start.
            Over all pushes they follow each other without a gap, and neighbours differ in label.
        segments_s: (n, 2) float64 start and end in seconds since the stream's start.
        filtered: (frames of this push, K) posterior of each frame given the past, or None unless asked for.
        smoothed: (m, K) posterior of the frames ``smoothed_start`` .. ``smoothed_start + m - 1``, each given
            ``smoothed_lag_s`` of what follows it, or None unless asked for.
        smoothed_start: the first of these frames.
    """

    segments: IntArray
    segments_s: FloatArray
    filtered: FloatArray | None = None
    smoothed: FloatArray | None = None
    smoothed_start: int = 0


@dataclass(frozen=True)
class OpenSegment:
    """The segment under way: frames ``start`` .. ``until - 1`` have this label, whatever comes; its end is open.

    Attributes:
        label: class.
        start: its first frame.
        until: the first frame that is not decided.
        start_s: seconds since the stream's start.
        until_s: likewise.
    """

    label: int
    start: int
    until: int
    start_s: float
    until_s: float


class HsmmStream:
    """Decodes one recording while it is made, by a fitted HSMM or HMM.

    :meth:`push` gives each segment as soon as every continuation of the recording has it: the very timeline that
    ``decode`` finds once all is known. How long that takes hangs on the data: a segment is final once what follows is
    clear. ``open`` is the segment under way, :meth:`tentative` the best guess beyond it.

    ``max_lag_s`` bounds the wait: a frame is decided at the latest when so many seconds have followed it, by the
    most likely timeline until then, and later frames are decoded in accordance with it. ``forced_commits`` counts
    these decisions and ``forced_frames`` the frames that they decided; the timeline is that of ``decode`` as long as
    there were none. A segment is never cut for the bound: one that lasts longer stays in ``open``, which the bound
    moves on, and is given when its end is known.

    Memory hangs on the model, on the bound and on how long the data stay ambiguous, not on the frames taken in.

    Args:
        model: fitted; a copy of its numbers is kept.
        max_lag_s: the bound in seconds, or None to wait for certainty.
        smoothed_lag_s: give the posterior of each frame with so many seconds of its future, too.
        filtered: give the posterior of each frame given the past, too.

    Raises:
        UsageError: not fitted (E-TEMPORAL-001), or a lag below 0 or, for a model that knows in which classes
            recordings end, below one frame (E-TEMPORAL-005).

    Example:
        >>> import numpy as np
        >>> from conv2d.temporal import HSMM, HsmmStream
        >>> model = HSMM(n_states=2, frame_s=0.5, emission_weight=1.0).fit([[0] * 8 + [1] * 4 + [0] * 9 + [1] * 5])
        >>> noisy = np.log([[0.9, 0.1]] * 5 + [[0.3, 0.7]] + [[0.9, 0.1]] * 3 + [[0.1, 0.9]] * 5 + [[0.9, 0.1]] * 3)
        >>> stream = HsmmStream(model)
        >>> [len(stream.push(frame).segments) for frame in noisy]
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
        >>> stream.open
        OpenSegment(label=1, start=9, until=14, start_s=4.5, until_s=7.0)
        >>> stream.flush().segments.tolist()
        [[1, 9, 14], [0, 14, 17]]
    """

    def __init__(
        self,
        model: "SegmentModel",
        *,
        max_lag_s: float | None = None,
        smoothed_lag_s: float | None = None,
        filtered: bool = False,
    ) -> None:
        mark = json.dumps(model.to_dict(), sort_keys=True)
        self._model = type(model).from_dict(model.to_dict())
        self._mark = hashlib.sha256(mark.encode()).digest()
        log_final = model.log_final_ if model.log_final_.any() else None
        self._core = CoreStream(
            model.log_transitions_,
            model.log_initial_,
            model.log_durations_,
            model.censoring,
            lag_frames=self._frames(max_lag_s, "max_lag_s", 0 if log_final is None else 1),
            smoothing_lag_frames=self._frames(smoothed_lag_s, "smoothed_lag_s", 0),
            filtered=filtered,
            log_final=log_final,
        )
        self._kept: tuple[int, int, int] | None = None
        self._smoothed = 0
        self.score_: float | None = None

    def _frames(self, seconds: float | None, name: str, least: int) -> int | None:
        if seconds is None:
            return None
        frame_s = self._model.frame_s
        frames = seconds / frame_s
        if not least <= frames + 1e-9 < 2**31:
            raise UsageError(
                f"E-TEMPORAL-005: {name} is {seconds}, expected at least {least * frame_s:g} s "
                f"({least} frames of {frame_s:g} s) and fewer than 2^31 frames"
            )
        return int(frames + 1e-9)

    def push(self, log_proba: npt.ArrayLike, has_data: npt.ArrayLike | None = None) -> StreamEvents:
        """Take in the next frames.

        Which frames come together changes nothing but when their segments are given.

        Args:
            log_proba: (n, K) log probabilities of any number of frames, or (K,) of one.
            has_data: (n,) bool, or one for (K,); False where no sensor spoke. None when every frame has data.

        Raises:
            UsageError: wrong shapes, or NaN in a frame with data (E-TEMPORAL-002, -003); the stream is as it was. Or
                the stream was flushed, or no timeline is possible any more (E-TEMPORAL-030).
            RuntimeError: another thread is inside.

        Cost: O(K (D + K)) a frame and, for what became final, O(D K) or so a push; with ``smoothed_lag_s`` of L
            frames O(L K (L + K)) more a frame.
        """
        rows = np.asarray(log_proba, dtype=np.float64)
        mask = None if has_data is None else np.asarray(has_data)
        if rows.ndim == 1:
            rows, mask = rows[None], None if mask is None else mask.reshape(1)
        scores = self._model.emissions(rows, mask)
        try:
            segments = self._core.push(scores)
        except ValueError as problem:
            raise UsageError(f"E-TEMPORAL-030: {problem}") from problem
        under_way = self._core.open
        return self._events(segments, None if under_way is None else under_way[0])

    def flush(self, *, ends: bool = True) -> StreamEvents:
        """End the recording: everything that was open becomes final, and ``score_`` holds the timeline's log score.

        Args:
            ends: whether the recording ends here; a stretch before a gap of the clock does not end it.

        Raises:
            UsageError: flushed before, or no timeline can end here (E-TEMPORAL-030).
        """
        try:
            segments, score = self._core.flush(ends)
        except ValueError as problem:
            raise UsageError(f"E-TEMPORAL-030: {problem}") from problem
        self.score_ = float(score)
        return self._events(segments, None)

    def _events(self, segments: IntArray, under_way: int | None) -> StreamEvents:
        """Join neighbours of one label; the last segment is kept back while it may go on."""
        joined: list[tuple[int, int, int]] = [] if self._kept is None else [self._kept]
        for label, start, end in segments.tolist():
            if joined and joined[-1][0] == label:
                joined[-1] = (label, joined[-1][1], end)
            else:
                joined.append((label, start, end))
        goes_on = bool(joined) and not self._core.flushed and under_way == joined[-1][0]
        self._kept = joined.pop() if goes_on else None
        final = np.array(joined, dtype=np.int64).reshape(-1, 3)
        smoothed = self._core.smoothed
        smoothed_start = self._smoothed
        self._smoothed += 0 if smoothed is None else len(smoothed)
        filtered = self._core.filtered
        return StreamEvents(final, final[:, 1:] * self._model.frame_s, filtered, smoothed, smoothed_start)

    def reset(self) -> None:
        """Forget the recording; the next push begins another one."""
        self._core.reset()
        self._kept, self._smoothed, self.score_ = None, 0, None

    @property
    def open(self) -> OpenSegment | None:
        """The segment under way; None before anything is certain and after :meth:`flush`."""
        under_way = self._core.open
        if under_way is None:
            return None
        label, start, until = under_way
        start = start if self._kept is None else self._kept[1]
        frame_s = self._model.frame_s
        return OpenSegment(label, start, until, start * frame_s, until * frame_s)

    def tentative(self) -> IntArray:
        """Most likely segments (n, 3) of all frames not yet given out, as if the recording went on; may change."""
        rows = self._core.tentative().tolist()
        if self._kept is not None:
            rows = [list(self._kept), *rows]
        joined: list[list[int]] = []
        for label, start, end in rows:
            if joined and joined[-1][0] == label:
                joined[-1][2] = end
            else:
                joined.append([label, start, end])
        return np.array(joined, dtype=np.int64).reshape(-1, 3)

    @property
    def n_frames(self) -> int:
        """Frames taken in."""
        return int(self._core.frames)

    @property
    def lag_s(self) -> float:
        """Seconds of the newest frames that are not decided."""
        return (self._core.frames - self._core.decided) * self._model.frame_s

    @property
    def forced_commits(self) -> int:
        """How often ``max_lag_s`` decided what the data had not; 0 means that the timeline is that of ``decode``."""
        return int(self._core.forced_commits)

    @property
    def forced_frames(self) -> int:
        """Frames whose label was so decided."""
        return int(self._core.forced_frames)

    def save(self) -> bytes:
        """Everything that is needed to go on later, in this process or in another one.

        Holds a version, a mark of the model and of the options, and a check sum; a machine of the other byte order
        refuses it. Its size hangs on what is open, not on the frames taken in.
        """
        kept = (False, 0, 0, 0) if self._kept is None else (True, *self._kept)
        content = HEADER.pack(self._smoothed, *kept) + self._core.save()
        return MAGIC + self._mark + CHECK.pack(zlib.crc32(content)) + content

    def restore(self, state: bytes) -> None:
        """Go on where :meth:`save` was called, in a stream of the same model and options.

        Raises:
            UsageError: damaged, of another version, model or options (E-TEMPORAL-031); the stream is as it was.
        """
        mark, check = len(MAGIC), len(MAGIC) + len(self._mark)
        content = state[check + CHECK.size :]
        if not state.startswith(MAGIC) or len(content) < HEADER.size:
            raise UsageError(
                f"E-TEMPORAL-031: got {len(state)} bytes that do not begin as a saved stream of this version, "
                "expected what save() gave"
            )
        if CHECK.unpack_from(state, check)[0] != zlib.crc32(content):
            raise UsageError("E-TEMPORAL-031: the saved state is damaged, expected what save() gave; save it again")
        if state[mark:check] != self._mark:
            raise UsageError("E-TEMPORAL-031: the saved state is of another model, expected the one of this stream")
        smoothed, has_kept, *kept = HEADER.unpack_from(content)
        try:
            self._core.restore(content[HEADER.size :])
        except ValueError as problem:
            raise UsageError(f"E-TEMPORAL-031: {problem}") from problem
        self._smoothed, self.score_ = smoothed, None
        self._kept = (kept[0], kept[1], kept[2]) if has_kept else None

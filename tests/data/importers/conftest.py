"""Small files of devices and annotation tools, written as their makers describe them."""

import struct
import types
import zipfile
from datetime import datetime, timedelta

import numpy as np
import pytest

EPOCH = datetime(1970, 1, 1)
NOON = datetime(2024, 5, 1, 12)


def cwa_header(*, ax6=False, device=17, note=b""):
    header = bytearray(1024)
    struct.pack_into("<HHBHIHIIIB", header, 0, 0x444D, 1020, 0x64 if ax6 else 0x17, device, 1, 0, 0, 0, 0xFFFFFFFF, 0)
    header[35], header[36], header[41] = 2 if ax6 else 0, 0x4A, 54
    header[64:512] = note.ljust(448, b" ")
    return bytes(header)


def cwa_stamp(when):
    fields = (when.year - 2000, 26), (when.month, 22), (when.day, 17), (when.hour, 12), (when.minute, 6)
    return sum(value << shift for value, shift in fields) | when.second


def cwa_block(samples, when_s, *, at=0, start=NOON, rate_code=0x4A, sequence=0, scale=None, fraction=True, stamp=None):
    """One block: samples (n, 3) in counts of 1/256 g as an AX3 packs them, or (n, 6) gyroscope first as an AX6 does.

    ``when_s`` is when, after ``start``, sample ``at`` of the block was taken.
    """
    samples = np.asarray(samples)
    packed = samples.shape[1] == 3
    block = bytearray(512)
    whole = int(np.floor(when_s))
    bits = int((when_s - whole) * 32768)
    rate = 3200 >> (15 - (rate_code & 15))
    offset = at - (((bits << 1) * rate) >> 16) if fraction else at
    word = cwa_stamp(start + timedelta(seconds=whole)) if stamp is None else stamp
    struct.pack_into("<HHHIII", block, 0, 0x5841, 508, 0x8000 | bits if fraction else 17, 1, sequence, word)
    scale = (0 if packed else (3 << 13) | (2 << 10)) if scale is None else scale
    layout = 0x30 if packed else 0x62
    struct.pack_into("<HHBBBBhH", block, 18, scale | 100, 261, 0, 200, rate_code, layout, offset, len(samples))
    if packed:
        exponent = int(np.abs(samples).max()) >> 9
        exponent = 0 if exponent == 0 else 1 if exponent == 1 else 2 if exponent < 4 else 3
        x, y, z = (samples.T >> exponent) & 1023
        data = (x | y << 10 | z << 20 | exponent << 30).astype("<u4").tobytes()
    else:
        data = samples.astype("<i2").tobytes()
    block[30 : 30 + len(data)] = data
    return seal(block)


def seal(block):
    """A block with its checksum put right."""
    block = bytearray(block)
    block[510:512] = b"\0\0"
    struct.pack_into("<H", block, 510, -sum(struct.unpack("<256H", block)) & 0xFFFF)
    return bytes(block)


def cwa(n_blocks=20, *, ax6=False, true_hz=100.0, jitter_s=0.0, seed=0, still=(0, 0, 256), **header):
    """A whole file that samples at ``true_hz``, stamped with jitter; gravity on z, or 2 g at 0.5 Hz where not still."""
    rng = np.random.default_rng(seed)
    per = 40 if ax6 else 120
    blocks = []
    for k in range(n_blocks):
        acc = np.tile(still, (per, 1))
        samples = np.hstack([np.tile([164, 0, -164], (per, 1)), acc * 8]) if ax6 else acc
        at = int(rng.integers(per, per + 21))  # the stamp is taken when a buffer is full, up to 20 samples late
        when = (k * per + at) / true_hz + rng.uniform(-jitter_s, jitter_s)
        blocks.append(cwa_block(samples, when, at=at, sequence=k))
    return cwa_header(ax6=ax6, **header) + b"".join(blocks)


def gt3x_record(kind, second, payload):
    head = struct.pack("<BBIH", 0x1E, kind, second, len(payload)) + payload
    return head + bytes([~int(np.bitwise_xor.reduce(np.frombuffer(head, np.uint8))) & 255])


def pack_12(samples):
    """Samples (n, 3) x y z as 12-bit numbers y x z, by text: slow and plain."""
    bits = "".join(format(int(v) & 0xFFF, "012b") for x, y, z in samples for v in (y, x, z))
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def ssp(value):
    """A floating-point number of the Simple Serial Protocol."""
    fraction, exponent = np.frexp(value)
    return (int(exponent) & 255) << 24 | int(fraction * (1 << 23)) & 0xFFFFFF


def ticks(when):
    return (when - datetime(1, 1, 1)) // timedelta(microseconds=1) * 10


def gt3x_info(**changes):
    info = {
        "Serial Number": "TAS1D00000001", "Device Type": "Link", "Firmware": "1.7.2", "Sample Rate": "30",
        "Start Date": str(ticks(NOON)), "Stop Date": "0", "TimeZone": "-05:00:00", "Acceleration Scale": "256.0",
        "Subject Name": "rex",
    } | {k.replace("_", " "): v for k, v in changes.items()}  # fmt: skip
    return "".join(f"{k}: {v}\r\n" for k, v in info.items() if v is not None)


def gt3x(path, log=None, *, info=None, **files):
    """A whole archive; members as ``name_bin=content``, left out where None."""
    members = {"log.bin": log, "info.txt": gt3x_info() if info is None else info}
    members |= {k.replace("_", "."): v for k, v in files.items()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            if content is not None:
                archive.writestr(name, content)
    return path


def gt3x_log(seconds, *, kind=26, rate=30, sample=(10, 20, 256), begin=NOON, first=b""):
    """Records of one second each, all samples alike."""
    payload = np.tile(sample, (rate, 1)).astype("<i2").tobytes() if kind == 26 else pack_12([sample] * rate)
    base = int((begin - EPOCH).total_seconds())
    return first + b"".join(gt3x_record(kind, base + int(s), payload) for s in seconds)


GENEACTIV_HEADER = {
    "Device Identity": {"Device Unique Serial Code": "000001", "Device Type": "GENEActiv", "Device Model": "1.1"},
    "Device Capabilities": {"Accelerometer Range": "-8 to 8", "Accelerometer Units": "g"},
    "Configuration Info": {
        "Measurement Frequency": "50 Hz", "Measurement Period": "360 Hours", "Start Time": "2010-09-16 00:00:00:000",
        "Time Zone": "GMT +02:00",
    },
    "Trial Info": {"Study Centre": "\0" * 20, "Extract Notes": "(device clock drift -1.459s)"},
    "Subject Info": {"Device Location Code": "Left Wrist", "Subject Code": "Jürgen", "Subject Notes": ""},
    "Calibration Data": {
        "x gain": "25600", "x offset": "0", "y gain": "25600", "y offset": "100", "z gain": "12800", "z offset": "0",
        "Volts": "300", "Lux": "800",
    },
    "Memory Status": {"Number of Pages": "2"},
}  # fmt: skip


def geneactiv_header(**changes):
    changes = {k.replace("_", " "): v for k, v in changes.items()}
    lines = []
    for group, fields in GENEACTIV_HEADER.items():
        lines += [group, *(f"{k}:{changes.get(k, v)}" for k, v in fields.items() if changes.get(k, v) is not None), ""]
    lines += [""] * (59 - len(lines))
    return "\r\n".join(lines[:59]).encode("latin-1") + b"\r\n"


def geneactiv_page(number, when_s, *, n=300, xyz=(256, 0, 128), light=300, frequency="50.0", digits=None, time=None):
    when = NOON + timedelta(seconds=when_s)
    time = f"{when:%Y-%m-%d %H:%M:%S}:{when.microsecond // 1000:03d}" if time is None else time
    if digits is None:
        x, y, z = (v & 0xFFF for v in xyz)
        digits = format(x << 36 | y << 24 | z << 12 | light << 2, "012X") * n
    lines = [
        "Recorded Data", "Device Unique Serial Code:000001", f"Sequence Number:{number}", f"Page Time:{time}",
        "Unassigned:", "Temperature:28.2", "Battery voltage:4.1642", "Device Status:Recording",
        f"Measurement Frequency:{frequency}", digits,
    ]  # fmt: skip
    return "\r\n".join(lines).encode("latin-1") + b"\r\n"


def geneactiv(n_pages=3, *, step_s=6.0, **header):
    return geneactiv_header(**header) + b"".join(geneactiv_page(k, k * step_s) for k in range(n_pages))


@pytest.fixture(scope="session")
def makers():
    """The functions of this file, by name."""
    return types.SimpleNamespace(**{k: v for k, v in globals().items() if callable(v) or k.isupper()})


@pytest.fixture
def told(tmp_path):
    """Run an import that must fail, see that it leaves nothing, and return its sentence."""

    def run(function, *args, error=None, **kwargs):
        from conv2d.errors import Conv2dError

        out = tmp_path / "must_not_be"
        with pytest.raises(error or Conv2dError) as caught:
            function(args[0], out, *args[1:], **kwargs)
        assert not out.exists()
        assert [p for p in tmp_path.iterdir() if p.name.startswith((".must", "must"))] == []
        return str(caught.value)

    return run


BORIS_AGGREGATED = (
    "Observation id", "Observation date", "Description", "Observation type", "Source", "Time offset (s)",
    "Coding duration", "Media duration (s)", "FPS (frame/s)", "weather, if known", "Subject",
    "Observation duration by subject by observation", "Behavior", "Behavioral category", "Modifier #1", "Behavior type",
    "Start (s)", "Stop (s)", "Duration (s)", "Media file name", "Image index start", "Image index stop",
    "Comment start", "Comment stop",
)  # fmt: skip
BORIS_TABULAR = (
    "Observation id", "Observation date", "Description", "Observation duration", "Observation type", "Source",
    "Time offset (s)", "Media duration (s)", "FPS", "Subject", "Behavior", "Behavioral category", "Modifier #1",
    "Behavior type", "Time", "Media file name", "Image index", "Image file path", "Comment",
)  # fmt: skip


def boris(events, *, delimiter="\t", number=str, columns=BORIS_AGGREGATED, **common):
    """An export of events: dicts by the names of columns, where ``obs``, ``who`` and so on are short for the usual."""
    import csv
    import io

    short = {
        "obs": "Observation id", "who": "Subject", "what": "Behavior", "kind": "Behavior type", "start": "Start (s)",
        "stop": "Stop (s)", "time": "Time", "modifier": "Modifier #1", "date": "Observation date",
        "offset": "Time offset (s)",
    }  # fmt: skip
    text = io.StringIO()
    writer = csv.DictWriter(
        text, columns, restval="", delimiter=delimiter, lineterminator="\r\n", extrasaction="ignore"
    )
    writer.writeheader()
    usual = {"obs": "walk1", "who": "rex", "kind": "STATE", "offset": "0.0", "date": "2024-05-01 12:00:00", **common}
    for event in events:
        row = {short[k]: v if isinstance(v, str) else number(v) for k, v in (usual | event).items()}
        writer.writerow({"Image index start": "NA", "Image index stop": "NA", **row})
    return text.getvalue()


def eaf(tiers, *, slots=None, head="", units="milliseconds", origin=None):
    """An ELAN file: ``tiers`` is name: [(first slot, last slot, text)], or [(annotation, text)] for references."""
    slots = (
        {f"ts{ms}": ms for t in tiers.values() for a in t if len(a) == 3 for ms in a[:2]} if slots is None else slots
    )
    lines = [
        f'<?xml version="1.0" encoding="UTF-8"?>{head}',
        '<ANNOTATION_DOCUMENT AUTHOR="" DATE="2024-05-01T12:00:00+02:00" FORMAT="3.0" VERSION="3.0">',
        f'<HEADER MEDIA_FILE="" TIME_UNITS="{units}">',
        '<MEDIA_DESCRIPTOR MEDIA_URL="file:///v.mp4"' + ("/>" if origin is None else f' TIME_ORIGIN="{origin}"/>'),
        "</HEADER><TIME_ORDER>",
        *(
            f'<TIME_SLOT TIME_SLOT_ID="{k}"' + ("" if v is None else f' TIME_VALUE="{v}"') + "/>"
            for k, v in slots.items()
        ),
        "</TIME_ORDER>",
    ]
    number = 0
    for name, annotations in tiers.items():
        lines.append(f'<TIER LINGUISTIC_TYPE_REF="lt" TIER_ID="{name}">')
        for *where, text in annotations:
            number += 1
            if len(where) == 2:
                first, last = (w if isinstance(w, str) else f"ts{w}" for w in where)
                tag, refs = "ALIGNABLE_ANNOTATION", f'TIME_SLOT_REF1="{first}" TIME_SLOT_REF2="{last}"'
            else:
                tag, refs = "REF_ANNOTATION", f'ANNOTATION_REF="{where[0]}"'
            value = f"<ANNOTATION_VALUE>{text}</ANNOTATION_VALUE>"
            lines.append(f'<ANNOTATION><{tag} ANNOTATION_ID="a{number}" {refs}>{value}</{tag}></ANNOTATION>')
        lines.append("</TIER>")
    return "\n".join([*lines, '<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="lt" TIME_ALIGNABLE="true"/></ANNOTATION_DOCUMENT>'])


@pytest.fixture(scope="session")
def walks(tmp_path_factory):
    """A data set of two recordings of 20 s at 50 Hz, one of them with a gap, written in several row groups."""
    from conv2d.data import DatasetWriter
    from conv2d.data.meta import DatasetMeta

    folder = tmp_path_factory.mktemp("walks") / "walks"
    meta = DatasetMeta("walks", 50.0, ("back",), ("acc_x",), ("old",), notes=("made up",), quality_columns=("gap_ms",))
    with DatasetWriter(folder, meta) as writer:
        for name, subject, start in (("walk1", "rex", "2024-05-01T12:00:00.000"), ("walk2", "bella", "")):
            time_s = np.arange(1000) / 50
            if name == "walk2":
                time_s = np.r_[time_s[:500], time_s[500:] + 5]
            for part in np.array_split(np.arange(1000), 3):
                x = np.sin(part).astype(np.float32)
                x[::7] = np.nan
                writer.append(
                    name, subject, time_s[part], {"back/acc_x": x}, np.zeros(len(part), np.int64), ("old",),
                    quality={"gap_ms": part.astype(np.float32)}, extra={"start": start, "split": "", "age": "3"},
                )  # fmt: skip
    return folder


@pytest.fixture(scope="session")
def runs():
    """Runs of a recording's labels: (label or None, first time, last time)."""

    def of(recording):
        borders = np.flatnonzero(np.diff(recording.labels)) + 1
        return [
            (recording.classes[recording.labels[i[0]]] if recording.labels[i[0]] >= 0 else None,
             round(float(recording.time_s[i[0]]), 3), round(float(recording.time_s[i[-1]]), 3))
            for i in np.split(np.arange(recording.n_samples), borders)
        ]  # fmt: skip

    return of

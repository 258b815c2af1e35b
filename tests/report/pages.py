"""Reading a report as its script does."""

import base64
import json
import re
import zlib

import numpy as np


def payload_of(path):
    """What the page holds for its script."""
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="payload">(.*?)</script>', text, re.DOTALL)[1])


def unpack(payload, n, n_runs):
    """Segments and fields of neuron n: ``(psth, predictions, raster)`` each, and arrays."""
    entry, content = payload["neurons"][n], zlib.decompress(base64.b64decode(payload["chunks"][n]))
    position = 0

    def take(shape, kind, low, high):
        nonlocal position
        raw = np.frombuffer(content, kind, int(np.prod(shape)), position).reshape(shape)
        position += raw.size
        return np.where(raw == 255, np.nan, low + raw / 254 * (high - low)) if kind == np.uint8 else raw / 127 * high

    segments = []
    for _, bins, repeats in entry["segments"]:
        traces = [take((bins,), np.uint8, *entry["range"]) for _ in range(1 + n_runs)]
        segments.append((traces[0], traces[1:], take((repeats, bins), np.uint8, *entry["counts"])))
    fields = [
        None if field is None else take(form["shape"], np.int8, 0, field["largest"])
        for form, field in zip(payload["fields"], entry["fields"], strict=True)
    ]
    assert position == len(content)
    return segments, fields

"use strict";
// What the page holds, and the bytes of one neuron turned into numbers.

const payload = JSON.parse(document.getElementById("payload").textContent);
const finished = payload.runs.filter((run) => run.finished);
const MISSING = 255;
const LEVELS = 254;

function formatScore(value) {
  return value === null ? "–" : value.toFixed(3).replace("-", "−");
}

async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Traces and fields of neuron n; missing values are null. */
async function readNeuron(n) {
  const entry = payload.neurons[n];
  const bytes = await inflate(payload.chunks[n]);
  let position = 0;
  const take = (count) => bytes.subarray(position, (position += count));
  const [low, high] = entry.range;
  const scale = (level) => (level === MISSING ? null : low + (level / LEVELS) * (high - low));
  const segments = entry.segments.map(([stimulus, bins, repeats]) => ({
    name: payload.stimuli[stimulus],
    bins,
    repeats,
    psth: Array.from(take(bins), scale),
    predictions: finished.map(() => Array.from(take(bins), scale)),
    raster: take(bins * repeats),
  }));
  const fields = entry.fields.map((described, k) => {
    if (described === null) return null;
    const form = payload.fields[k];
    const sizes = form.shape;
    const count = sizes.length === 2 ? sizes[0] * sizes[1] : sizes[0] * sizes[1] + sizes[2];
    const raw = take(count);
    const weights = Float32Array.from(new Int8Array(raw.buffer, raw.byteOffset, count), (value) => value / 127);
    return { ...form, ...described, weights };
  });
  return { counts: entry.counts, segments, fields };
}

"use strict";
// The chosen neuron: raster, PSTH and predictions with zoom in time, receptive fields.

const panel = document.getElementById("neuron");
const WHOLE = { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500] }; // ticks of what is counted
let panelCharts = [];
let wanted = null; // the neuron asked for last; earlier answers are dropped

function definitions(entries) {
  return element(
    "dl",
    {},
    ...entries.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))),
  );
}

async function showNeuron(n, table, choose) {
  wanted = n;
  const neuron = await readNeuron(n);
  if (wanted !== n) return;
  for (const chart of panelCharts) chart.remove();
  panelCharts = [];
  const row = payload.rows[n];
  const scores = payload.columns
    .map((column, c) => [column, row[c]])
    .filter(([column]) => column.kind === "score")
    .map(([column, value]) => [column.label, formatScore(value)]);
  const step = (by, label, sign) => {
    const next = table.neighbour(n, by);
    return element("button", { type: "button", "aria-label": label, disabled: next === null, onclick: () => choose(next) }, sign);
  };
  panel.replaceChildren(
    element(
      "div",
      { class: "bar" },
      element("h3", {}, `Neuron ${row[0]}`),
      element("span", { class: "end" }, step(-1, "Previous neuron", "‹"), " ", step(1, "Next neuron", "›")),
    ),
    definitions(scores),
  );
  if (neuron.segments.length) showTraces(neuron);
  else panel.append(element("p", { class: "hint" }, "No responses to the test stimuli."));
  const shown = neuron.fields.map((field, k) => [field, k]).filter(([field]) => field !== null);
  if (shown.length) {
    panel.append(element("h4", {}, "Receptive field (red excites, blue inhibits)"));
    const grid = element("div", { class: "fields" });
    panel.append(grid);
    for (const [field, k] of shown) showField(grid, field, finished.length > 1 ? finished[k].name : "");
    if (shown.some(([field]) => Object.values(field.se ?? {}).some(isNumber))) {
      panel.append(element("p", { class: "hint" }, "±: standard error, by the jackknife over the training stimuli that a gradient is averaged over."));
    }
  }
  const known = Object.entries(payload.metadata[n]).filter(([key]) => key !== "cell_id");
  if (known.length) {
    const rounded = known.map(([key, value]) => [key, Number.isFinite(Number(value)) ? String(Number(Number(value).toPrecision(4))) : value]);
    panel.append(element("h4", {}, "Metadata"), definitions(rounded));
  }
}

function showTraces(neuron) {
  const holder = element("div");
  const readout = element("p", { class: "readout" });
  let current = null;
  const draw = (index) => {
    for (const chart of current?.charts ?? []) {
      chart.remove();
      panelCharts.splice(panelCharts.indexOf(chart), 1);
    }
    holder.replaceChildren();
    current = drawSegment(holder, neuron.segments[index], neuron.counts, readout);
    panelCharts.push(...current.charts);
  };
  const zoom = (label, text, change) =>
    element("button", { type: "button", "aria-label": label, title: label, onclick: () => current.zoom(change) }, text);
  const choice = element(
    "select",
    { "aria-label": "Stimulus", onchange: (event) => draw(Number(event.target.value)) },
    ...neuron.segments.map((segment, i) => element("option", { value: i }, segment.name)),
  );
  panel.append(
    element(
      "div",
      { class: "bar" },
      choice,
      element(
        "span",
        { class: "bar end", role: "group", "aria-label": "Zoom in time" },
        zoom("Earlier", "←", ([a, b]) => [a - (b - a) / 2, b - (b - a) / 2]),
        zoom("Later", "→", ([a, b]) => [a + (b - a) / 2, b + (b - a) / 2]),
        zoom("Zoom in", "+", ([a, b]) => [a + (b - a) / 4, b - (b - a) / 4]),
        zoom("Zoom out", "−", ([a, b]) => [a - (b - a) / 2, b + (b - a) / 2]),
        zoom("All of the stimulus", "all", () => [0, Infinity]),
      ),
    ),
    holder,
    readout,
    legend([
      ...(neuron.segments.some((segment) => segment.psth.some((value) => value !== null)) ? [["PSTH (mean of the repeats)", "--data"]] : []),
      ...finished.map((run, k) => [finished.length > 1 ? run.name : "prediction", runColour(k)]),
    ]),
    element("p", { class: "hint" }, "Drag over the traces to zoom, double-click for all." +
      (payload.cut ? " Stimuli are shortened to keep the page small." : "")),
  );
  draw(0);
}

function drawSegment(holder, segment, counts, readout) {
  const seconds = payload.dt_ms / 1000;
  const end = segment.bins * seconds;
  const times = segment.psth.map((_, t) => (t + 0.5) * seconds);
  const made = [];
  let following = false;
  const follow = (u, key) => {
    if (key !== "x" || following) return;
    following = true;
    for (const other of made) if (other !== u) other.setScale("x", { min: u.scales.x.min, max: u.scales.x.max });
    following = false;
  };
  // All of the stimulus goes to the edges of its bins; uPlot would end at their centres.
  const range = (u, low, high) => (low === times[0] && high === times.at(-1) ? [0, end] : [low, high]);
  const sharedOptions = {
    cursor: { drag: { x: true, y: false }, sync: { key: "time" }, points: { show: false } },
  };
  if (segment.repeats) {
    const height = Math.min(190, 46 + 7 * segment.repeats);
    made.push(makeChart(
      holder,
      `Raster: ${segment.repeats} repeats of ${segment.name}`,
      height,
      {
        ...sharedOptions,
        scales: { x: { time: false, range }, y: { range: () => [0, segment.repeats], dir: -1 } },
        axes: [axis(null, { size: 8, values: () => [], ticks: { show: false } }), axis("repeat", { size: AXIS_WIDTH, grid: { show: false }, ...WHOLE })],
        series: [{}, { paths: () => null, points: { show: false } }],
        hooks: { draw: [(u) => drawRaster(u, segment, counts, seconds)], setScale: [follow] },
      },
      [times, times.map(() => null)],
    ));
  }
  made.push(makeChart(
    holder,
    `Responses to ${segment.name}: mean of the repeats and predictions`,
    195,
    {
      ...sharedOptions,
      scales: { x: { time: false, range }, y: { range: (u, low, high) => (low < high ? uPlot.rangeNum(low, high, 0.1, true) : [low - 0.5, low + 0.5]) } },
      axes: [axis("time (s)"), axis("response per bin", { size: AXIS_WIDTH })],
      series: [
        {},
        { stroke: () => colour("--data"), fill: () => colour("--data-fill"), width: 1, points: { show: false } },
        ...segment.predictions.map((_, k) => ({ stroke: () => colour(runColour(k)), width: 1.8, points: { show: false } })),
      ],
      hooks: {
        setScale: [follow],
        setCursor: [(u) => {
          const t = u.cursor.idx;
          if (t === null || t === undefined) return;
          const said = [["PSTH", segment.psth[t]], ...segment.predictions.map((values, k) => [finished[k].name, values[t]])];
          readout.textContent = `${times[t].toFixed(3)} s: ` + said.filter(([, value]) => value !== null)
            .map(([name, value]) => `${name} ${value.toPrecision(3)}`).join(", ");
        }],
      },
    },
    [times, segment.psth, ...segment.predictions],
  ));
  const last = made.at(-1);
  const set = ([from, to]) => {
    const width = Math.min(Math.max(to - from, 4 * seconds), end);
    const start = Math.min(Math.max(from, 0), end - width);
    last.setScale("x", { min: start, max: start + width });
  };
  return {
    charts: made,
    zoom: (change) => set(change([last.scales.x.min, last.scales.x.max])),
  };
}

function drawRaster(u, segment, counts, seconds) {
  const { ctx, bbox } = u;
  const first = Math.max(0, Math.floor(u.scales.x.min / seconds));
  const end = Math.min(segment.bins, Math.ceil(u.scales.x.max / seconds));
  const height = bbox.height / segment.repeats;
  const width = Math.max(1.5 * devicePixelRatio, u.valToPos(seconds, "x", true) - u.valToPos(0, "x", true));
  const gap = height > 4 * devicePixelRatio ? devicePixelRatio : 0;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  const [ink, missing] = [colour("--data"), colour("--missing")];
  for (let r = 0; r < segment.repeats; r++) {
    for (let t = first; t < end; t++) {
      const value = segment.raster[r * segment.bins + t];
      if (value === 0) continue;
      ctx.fillStyle = value === MISSING ? missing : ink;
      // Single spikes must be seen; where responses are no counts, grey is the amplitude.
      ctx.globalAlpha = value === MISSING ? 1 : counts[0] === 0 ? 0.5 + value / LEVELS / 2 : value / LEVELS;
      ctx.fillRect(u.valToPos(t * seconds, "x", true), bbox.top + r * height, width, height - gap);
    }
  }
  ctx.restore();
}

function isNumber(value) {
  return value !== null && value !== undefined;
}

/** A number with three digits. */
function short(value) {
  return String(Number(value.toPrecision(3))).replace("-", "−");
}

function formatFrequency(hertz) {
  return hertz >= 1000 ? `${Number((hertz / 1000).toPrecision(3))} kHz` : `${Math.round(hertz)} Hz`;
}

/** A field as cells over its axes; columns run from the earliest lag to the current bin. */
function drawCells(u, weights, nRows, nColumns, x, y) {
  const { ctx, bbox } = u;
  const [excite, inhibit] = [colour("--excite"), colour("--inhibit")];
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  for (let r = 0; r < nRows; r++) {
    for (let c = 0; c < nColumns; c++) {
      const weight = weights[r * nColumns + c];
      const [left, right] = [u.valToPos(x(c), "x", true), u.valToPos(x(c + 1), "x", true)];
      const [top, bottom] = [u.valToPos(y(r + 1), "y", true), u.valToPos(y(r), "y", true)];
      ctx.fillStyle = `rgb(${weight > 0 ? excite : inhibit} / ${Math.abs(weight)})`;
      const [a, b] = [Math.round(Math.min(left, right)), Math.round(Math.min(top, bottom))];
      ctx.fillRect(a, b, Math.round(Math.max(left, right)) - a, Math.round(Math.max(top, bottom)) - b);
    }
  }
  ctx.restore();
}

function cellChart(figure, label, weights, sizes, x, axes, dir = 1) {
  const [nRows, nColumns] = sizes;
  return makeChart(
    figure,
    label,
    175,
    {
      cursor: { show: false },
      scales: { x: { time: false, range: () => [x(0), x(nColumns)] }, y: { range: () => [0, nRows], dir } },
      axes: axes.map((one) => ({ ...one, grid: { show: false } })),
      series: [{}, { paths: () => null, points: { show: false } }],
      hooks: { draw: [(u) => drawCells(u, weights, nRows, nColumns, x, (r) => r)] },
    },
    [[x(0), x(nColumns)], [0, nRows]],
  );
}

function showField(grid, field, name) {
  const of = name ? `${name}: ` : "";
  if (field.shape.length === 3) {
    showMovieField(grid, field, of);
    return;
  }
  const [nBands, nLags] = field.shape;
  const hertz = field.frequencies_hz;
  const lag = (c) => (c - nLags) * field.dt_ms;
  const bandName = (band) => (hertz && hertz[Math.floor(band)] ? formatFrequency(hertz[Math.floor(band)]) : String(Math.round(band)));
  const peak = field.peak;
  const tuned = field.tuning;
  const best = tuned.best_frequency_hz ? formatFrequency(tuned.best_frequency_hz) : peak && `band ${peak.band}`;
  const where = peak === null ? "no excitation" : `best ${best}, ${short(tuned.latency_ms ?? peak.lag_ms)} ms before the response`;
  const figure = element("figure", {}, element("figcaption", {}, `${of}${where}`));
  grid.append(figure);
  const side = axis(hertz ? null : "band", { size: hertz ? 66 : AXIS_WIDTH, space: 24, values: (u, ticks) => ticks.map(bandName) });
  panelCharts.push(cellChart(figure, `Receptive field, ${of}${where}`, field.weights, field.shape, lag, [axis("time before the response (ms)"), side]));
  if (peak === null) return;
  const column = nLags - 1 - Math.round(peak.lag_ms / field.dt_ms);
  const weights = Array.from({ length: nBands }, (_, band) => field.weights[band * nLags + column] * field.largest);
  const second = element("figure", {}, element("figcaption", {}, `${of}weights at ${short(peak.lag_ms)} ms`));
  grid.append(second);
  panelCharts.push(makeChart(
    second,
    `${of}Weights over ${hertz ? "frequency" : "bands"} at ${short(peak.lag_ms)} ms`,
    175,
    {
      cursor: { show: false },
      scales: { x: { time: false } },
      axes: [axis(hertz ? "frequency" : "band", { space: 62, values: (u, ticks) => ticks.map(bandName) }), axis("weight", { size: AXIS_WIDTH })],
      series: [{}, { stroke: () => colour("--text"), width: 1.8, points: { show: false } }],
    },
    [weights.map((_, band) => band), weights],
  ));
  grid.append(tuningNumbers(tuned, field.se));
}

/** What the field is tuned to, by deepSTRF.analysis.tuning; only what is defined, with ± its standard error. */
function tuningNumbers(tuned, errors) {
  const bandwidth = tuned.bandwidth_octaves !== undefined ? "octaves" : "bands";
  const share = (value) => value.toFixed(2).replace("-", "−");
  const entries = [
    ["best frequency", "best_frequency_hz", formatFrequency, ""],
    ["bandwidth", `bandwidth_${bandwidth}`, short, ` ${bandwidth}`],
    ["latency", "latency_ms", short, " ms"],
    ["(E − I) / (E + I)", "excitation_inhibition", share, ""],
    ["separability", "separability", share, ""],
    ["best rate", "best_rate_hz", short, " Hz"],
  ].filter(([, key]) => isNumber(tuned[key]));
  const list = definitions(entries.map(([name, key, format, unit]) => [
    name,
    format(tuned[key]) + (errors[key] > 0 ? ` ± ${format === share ? short(errors[key]) : format(errors[key])}` : "") + unit,
  ]));
  list.classList.add("tuning");
  return list;
}

function showMovieField(grid, field, of) {
  const [height, width, nLags] = field.shape;
  const map = element("figure", {}, element("figcaption", {}, `${of}map, ${short(field.lag_ms)} ms before the response`));
  const course = element("figure", {}, element("figcaption", {}, `${of}time course of the pixel in row ${field.pixel[0]}, column ${field.pixel[1]}`));
  grid.append(map, course);
  panelCharts.push(cellChart(map, `Receptive field, ${of}map`, field.weights, [height, width], (c) => c, [axis("column", WHOLE), axis("row", { size: AXIS_WIDTH, ...WHOLE })], -1));
  const weights = Array.from(field.weights.subarray(height * width), (value) => value * field.largest);
  panelCharts.push(makeChart(
    course,
    `Receptive field, ${of}time course`,
    175,
    {
      cursor: { show: false },
      scales: { x: { time: false } },
      axes: [axis("time before the response (ms)"), axis("weight", { size: AXIS_WIDTH })],
      series: [{}, { stroke: () => colour("--text"), width: 1.8, points: { show: false } }],
    },
    [weights.map((_, t) => (t - nLags + 1) * field.dt_ms), weights],
  ));
}

"use strict";
// Charts by uPlot, in the colours of the page.

const AXIS_WIDTH = 58;
const charts = new Set();

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function runColour(k) {
  return `--c${(k % 6) + 1}`;
}

function axis(label, more = {}) {
  return {
    label,
    size: 34,
    labelSize: 20,
    font: "12px system-ui, sans-serif",
    labelFont: "12px system-ui, sans-serif",
    stroke: () => colour("--soft"),
    grid: { stroke: () => colour("--grid"), width: 1 },
    ticks: { stroke: () => colour("--grid"), width: 1, size: 5 },
    ...more,
  };
}

/** A uPlot in a box that screen readers know as a picture; it follows the width of the page. */
function makeChart(host, label, height, options, data) {
  const box = element("div", { class: "plot", role: "img", "aria-label": label });
  host.append(box);
  const chart = new uPlot(
    { width: box.clientWidth || 400, height, legend: { show: false }, ...options },
    data,
    box,
  );
  charts.add(chart);
  const observer = new ResizeObserver(() => {
    if (box.clientWidth && box.clientWidth !== chart.width) chart.setSize({ width: box.clientWidth, height });
  });
  observer.observe(box);
  chart.remove = () => {
    observer.disconnect();
    charts.delete(chart);
    chart.destroy();
    box.remove();
  };
  return chart;
}

function redrawCharts() {
  for (const chart of charts) chart.redraw(false, true);
}

function legend(entries) {
  return element(
    "ul",
    { class: "legend" },
    ...entries.map(([label, name]) =>
      element("li", {}, element("i", { style: `background: var(${name})` }), label)),
  );
}

/** Lines of different lengths over one x axis. */
function lineChart(host, chart) {
  const xs = [...new Set(chart.lines.flatMap((line) => line.x))].sort((a, b) => a - b);
  const columns = chart.lines.map((line) => {
    const known = new Map(line.x.map((x, i) => [x, line.y[i]]));
    return xs.map((x) => known.get(x) ?? null);
  });
  const figure = element("figure", {}, element("figcaption", {}, chart.title));
  host.append(figure);
  makeChart(
    figure,
    chart.title,
    220,
    {
      scales: { x: { time: false } },
      cursor: { drag: { x: true, y: false } },
      axes: [axis("epoch", { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500] }), axis(chart.y, { size: AXIS_WIDTH })],
      series: [
        {},
        ...chart.lines.map((line, k) => ({ stroke: () => colour(runColour(k)), width: 2, points: { show: xs.length < 30, size: 5 } })),
      ],
    },
    [xs, ...columns],
  );
  figure.append(legend(chart.lines.map((line, k) => [line.label, runColour(k)])));
}

/** Neurons as points with the line of equality; a click chooses the nearest one. */
function scatterChart(host, title, xLabel, yLabel, xs, series, choose) {
  const order = xs.map((_, n) => n).filter((n) => xs[n] !== null).sort((a, b) => xs[a] - xs[b]);
  const data = [order.map((n) => xs[n]), ...series.map((one) => order.map((n) => one.values[n]))];
  const values = data.flat().filter((value) => value !== null);
  if (!values.length) return null;
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const edge = Math.max(0.02, (high - low) * 0.05);
  const range = [low - edge, high + edge]; // of both axes, so that the line of equality is a diagonal
  let chosen = null;
  const decorate = (u) => {
    const at = (value, scale) => u.valToPos(value, scale, true);
    u.ctx.save();
    u.ctx.strokeStyle = colour("--soft");
    u.ctx.setLineDash([6, 5]);
    u.ctx.beginPath();
    u.ctx.moveTo(at(range[0], "x"), at(range[0], "y"));
    u.ctx.lineTo(at(range[1], "x"), at(range[1], "y"));
    u.ctx.stroke();
    u.ctx.setLineDash([]);
    u.ctx.strokeStyle = colour("--text");
    u.ctx.lineWidth = 2 * devicePixelRatio;
    for (const one of series) {
      if (chosen === null || xs[chosen] === null || one.values[chosen] === null) continue;
      u.ctx.beginPath();
      u.ctx.arc(at(xs[chosen], "x"), at(one.values[chosen], "y"), 7 * devicePixelRatio, 0, 7);
      u.ctx.stroke();
    }
    u.ctx.restore();
  };
  const figure = element("figure", { class: "square" }, element("figcaption", {}, title));
  host.append(figure);
  const chart = makeChart(
    figure,
    `${title}; the same numbers are in the table of neurons`,
    380,
    {
      scales: { x: { time: false, range: () => range }, y: { range: () => range } },
      cursor: { drag: { x: false, y: false }, points: { show: false } },
      axes: [axis(xLabel, { space: 60 }), axis(yLabel, { size: AXIS_WIDTH })],
      hooks: { draw: [decorate] },
      series: [
        {},
        ...series.map((one) => ({
          paths: () => null,
          points: { show: true, size: 6, width: 1.5, stroke: () => colour(one.colour), fill: () => colour(one.colour) },
        })),
      ],
    },
    data,
  );
  chart.over.addEventListener("click", (event) => {
    const box = chart.over.getBoundingClientRect();
    let best = 20;
    let nearest = null;
    for (const one of series) {
      for (const n of order) {
        if (one.values[n] === null) continue;
        const dx = chart.valToPos(xs[n], "x") - (event.clientX - box.left);
        const dy = chart.valToPos(one.values[n], "y") - (event.clientY - box.top);
        if (Math.hypot(dx, dy) < best) [best, nearest] = [Math.hypot(dx, dy), n];
      }
    }
    if (nearest !== null) choose(nearest);
  });
  if (series.length > 1) figure.append(legend(series.map((one) => [one.label, one.colour])));
  return {
    mark(n) {
      chosen = n;
      chart.redraw(false, false);
    },
    remove() {
      chart.remove();
      figure.remove();
    },
  };
}

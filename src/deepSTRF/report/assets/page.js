"use strict";
// Puts the parts together.

let scatters = [];

/** A column of the table; of scores, that of a run. */
function columnValues(label, run = null) {
  const wantedLabel = run !== null && finished.length > 1 ? `${label} ${run.name}` : label;
  const column = payload.columns.findIndex((one) => one.label === wantedLabel);
  return payload.rows.map((row) => row[column]);
}

function choose(n) {
  table.mark(n);
  for (const scatter of scatters) scatter.mark(n);
  showNeuron(n, table, choose);
}

function addScatter(...options) {
  const made = scatterChart(...options, (n) => choose(n));
  if (made) scatters.push(made);
  return made;
}

/** The scores of two runs, which the reader chooses, against each other. */
function addPairChart(host) {
  const label = finished.every((run) => columnValues("cc_norm", run).some((value) => value !== null)) ? "cc_norm" : "cc";
  const holder = element("div");
  let shown = null;
  const choice = (name, at) => element(
    "select",
    { "aria-label": name, onchange: () => draw() },
    ...finished.map((run, k) => element("option", { value: k, selected: k === at }, run.name)),
  );
  const [xs, ys] = [choice("Run on the horizontal axis", 0), choice("Run on the vertical axis", 1)];
  const draw = () => {
    if (shown) {
      shown.remove();
      scatters = scatters.filter((one) => one !== shown);
    }
    const [x, y] = [finished[xs.value], finished[ys.value]];
    const points = [{ label: "neurons", colour: "--c2", values: columnValues(label, y) }];
    shown = addScatter(holder, `Test ${label} of each neuron; above the line, ${y.name} is better`, x.name, y.name, columnValues(label, x), points);
  };
  if (finished.length > 2) host.append(element("div", { class: "bar" }, xs, ys));
  host.append(holder);
  draw();
}

const table = finished.length ? makeTable((n) => choose(n)) : null;
if (table) {
  addScatter(
    document.getElementById("ceiling-chart"),
    "Test correlation of each neuron against its noise ceiling; click a point to see the neuron",
    "noise ceiling",
    "cc",
    columnValues("ceiling"),
    finished.map((run, k) => ({ label: run.name, colour: finished.length > 1 ? runColour(k) : "--c2", values: columnValues("cc", run) })),
  );
  const pair = document.getElementById("pair-chart");
  if (pair) addPairChart(pair);
  if (table.first() !== null) choose(table.first());
}
const curves = document.getElementById("curve-charts");
if (curves) payload.curves.forEach((chart) => lineChart(curves, chart));

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawCharts);
// Paper is white: the colours of a dark screen would be lost on it.
for (const [event, printing] of [["beforeprint", true], ["afterprint", false]]) {
  addEventListener(event, () => {
    document.documentElement.classList.toggle("printing", printing);
    redrawCharts();
  });
}

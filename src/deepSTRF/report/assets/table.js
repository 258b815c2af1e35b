"use strict";
// The table of neurons: sorting, filtering, choosing.

const OPERATORS = {
  "=": (a, b) => a === b, "!=": (a, b) => a !== b,
  ">": (a, b) => a > b, ">=": (a, b) => a >= b, "<": (a, b) => a < b, "<=": (a, b) => a <= b,
};

function plainName(text) {
  return text.toLowerCase().replace(/\s+/g, "_");
}

/** What a word of the filter asks of neuron n: a function, or the name of a column that there is not. */
function parseCondition(word) {
  const match = /^([^=!<>]+)(>=|<=|!=|=|>|<)(.+)$/.exec(word);
  if (!match) {
    const wanted = word.toLowerCase();
    return (n) => searchTexts[n].includes(wanted);
  }
  const [, name, operator, wanted] = match;
  const names = payload.columns.map((column) => plainName(column.label));
  const key = plainName(name);
  let column = names.indexOf(key);
  if (column < 0) column = names.findIndex((one) => one.startsWith(`${key}_`) && finished.length > 1);
  const metadataKey = Object.keys(payload.metadata[0] ?? {}).find((one) => plainName(one) === key);
  if (column < 0 && metadataKey === undefined) return name;
  return (n) => {
    const value = column >= 0 ? payload.rows[n][column] : payload.metadata[n][metadataKey];
    if (value === null || value === undefined || value === "") return false;
    const [a, b] = [Number(value), Number(wanted)];
    if (Number.isNaN(a) || Number.isNaN(b)) return OPERATORS[operator](String(value).toLowerCase(), wanted.toLowerCase());
    return OPERATORS[operator](a, b);
  };
}

const searchTexts = payload.rows.map((row, n) =>
  [row[0], ...Object.values(payload.metadata[n])].join(" ").toLowerCase());

function makeTable(choose) {
  const table = document.getElementById("neuron-table");
  const body = table.querySelector("tbody");
  const filter = document.getElementById("filter");
  const count = document.getElementById("count");
  table.classList.toggle("long", payload.rows.some((row) => String(row[0]).length > 16)); // these names wrap
  let sorted = { column: null, descending: false };

  const rows = payload.rows.map((row, n) => {
    const cells = row.map((value, c) => {
      const kind = payload.columns[c].kind;
      if (c === 0) {
        const button = element("button", { type: "button", "aria-pressed": "false", onclick: () => choose(n) }, String(value));
        return element("th", { scope: "row" }, button);
      }
      const text = kind === "score" ? formatScore(value) : value === null ? "–" : String(value);
      return element("td", { class: kind === "text" ? null : "number" }, text);
    });
    const made = element("tr", {}, ...cells);
    made.addEventListener("click", (event) => {
      if (!event.target.closest("button")) choose(n);
    });
    return made;
  });

  const heads = payload.columns.map((column, c) =>
    element(
      "th",
      { scope: "col", class: column.kind === "text" ? null : "number", "aria-sort": "none" },
      element("button", { type: "button", onclick: () => sortBy(c) }, column.label),
    ));
  table.querySelector("thead").append(element("tr", {}, ...heads));

  function order() {
    const numbers = payload.rows.map((_, n) => n);
    if (sorted.column === null) return numbers;
    return numbers.sort((a, b) =>
      compareValues(payload.rows[a][sorted.column], payload.rows[b][sorted.column], sorted.descending));
  }

  function sortBy(column, descending = null) {
    const first = payload.columns[column].kind !== "text";
    sorted = {
      column,
      descending: descending ?? (sorted.column === column ? !sorted.descending : first),
    };
    showOrder(heads, column, sorted.descending);
    body.replaceChildren(...order().map((n) => rows[n]));
  }

  function applyFilter() {
    const words = filter.value.trim().replace(/\s*(>=|<=|!=|=|>|<)\s*/g, "$1").split(/\s+/).filter(Boolean);
    const conditions = words.map(parseCondition);
    const unknown = conditions.find((condition) => typeof condition === "string");
    let shown = 0;
    rows.forEach((row, n) => {
      row.hidden = unknown !== undefined || !conditions.every((condition) => condition(n));
      shown += !row.hidden;
    });
    count.textContent = unknown === undefined
      ? `${shown} of ${rows.length} neurons`
      : `There is no column ${unknown}; there are ${payload.columns.map((column) => plainName(column.label)).join(", ")}`;
  }

  function visible() {
    return [...body.children].filter((row) => !row.hidden).map((row) => rows.indexOf(row));
  }

  filter.addEventListener("input", applyFilter);
  body.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = neighbour(rows.indexOf(event.target.closest("tr")), step);
    if (next === null) return;
    choose(next);
    rows[next].querySelector("button").focus();
  });

  /** The neuron before or after n, in the order and under the filter of the table. */
  function neighbour(n, step) {
    const shown = visible();
    const place = shown.indexOf(n);
    return shown[place + step] ?? (place < 0 ? shown[0] ?? null : null);
  }

  const score = payload.columns.findLastIndex((column, c) =>
    column.kind === "score" && payload.rows.some((row) => row[c] !== null));
  if (score >= 0) sortBy(score, true);
  else body.append(...rows);
  applyFilter();
  return {
    first: () => visible()[0] ?? null,
    neighbour,
    mark(n) {
      rows.forEach((row, k) => {
        row.classList.toggle("chosen", k === n);
        row.querySelector("button").setAttribute("aria-pressed", String(k === n));
      });
      const box = table.closest(".tall");
      const top = rows[n].offsetTop;
      if (top < box.scrollTop + 40 || top > box.scrollTop + box.clientHeight - 40) box.scrollTop = top - box.clientHeight / 2;
    },
  };
}

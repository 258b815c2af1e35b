"use strict";
// Tables that are sorted by a click on the head of a column.

/** For Array.sort: numbers by size, other values as text, undefined ones (null) last in both directions. */
function compareValues(x, y, descending) {
  if (x === null || y === null) return (x === null) - (y === null);
  const sign = descending ? -1 : 1;
  if (typeof x === "number" && typeof y === "number") return sign * (x - y);
  return sign * String(x).localeCompare(String(y), undefined, { numeric: true });
}

/** Say at the heads of a table by which of them it is sorted. */
function showOrder(heads, column, descending) {
  heads.forEach((head, c) =>
    head.setAttribute("aria-sort", c !== column ? "none" : descending ? "descending" : "ascending"));
}

function makeSortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const sorted = { column: null, descending: false };
  const valueOf = (row, c) => {
    const cell = row.cells[c];
    if (!("value" in cell.dataset)) return cell.textContent || null;
    return cell.dataset.value === "" ? null : Number(cell.dataset.value);
  };
  heads.forEach((head, c) => {
    const hasNumbers = [...body.rows].some((row) => typeof valueOf(row, c) === "number");
    const sort = () => {
      sorted.descending = sorted.column === c ? !sorted.descending : hasNumbers;
      sorted.column = c;
      showOrder(heads, c, sorted.descending);
      body.append(...[...body.rows].sort((a, b) => compareValues(valueOf(a, c), valueOf(b, c), sorted.descending)));
    };
    head.setAttribute("aria-sort", "none");
    head.replaceChildren(element("button", { type: "button", onclick: sort }, head.textContent));
  });
}

document.querySelectorAll("table.sortable").forEach(makeSortable);

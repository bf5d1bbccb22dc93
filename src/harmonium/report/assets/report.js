"use strict";
// Tables are sorted by a click on the head of a column; all else on the page stands still.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (button === null) return;
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const order = (row) => row.cells[column].dataset.order;
      const compare = (a, b) => {
        // Missing cells come last, whichever way.
        if (a === "nan" || b === "nan") return (a === "nan") - (b === "nan");
        const difference = a - b;
        return (up ? 1 : -1) * (Number.isNaN(difference) ? a.localeCompare(b) : difference);
      };
      const rows = [...body.rows].sort((first, second) => compare(order(first), order(second)));
      body.append(...rows);
    });
  });
}

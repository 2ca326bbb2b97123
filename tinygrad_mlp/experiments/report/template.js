"use strict";
(() => {
  // Sorting: a click on a column's head, again for the other way. What has no value stays at the end either way.
  const compare = (a, b) => {
    const x = Number(a), y = Number(b);
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
  };
  const sort = (head) => {
    const table = head.closest("table");
    const column = [...head.parentNode.children].indexOf(head);
    const direction = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    for (const other of head.parentNode.children) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", direction);
    const value = (row) => row.children[column].dataset.sort;
    const rows = [...table.tBodies[0].rows].sort((first, second) => {
      const a = value(first), b = value(second);
      if (a === "" || b === "") return (a === "") - (b === "");
      return direction === "ascending" ? compare(a, b) : compare(b, a);
    });
    table.tBodies[0].append(...rows);
  };
  for (const head of document.querySelectorAll("table.sortable thead th")) {
    head.addEventListener("click", () => sort(head));
  }

  // A number leads to the first of its runs; the rows of all of them are lit.
  const numbers = (ranges) => ranges.split(" ").flatMap((range) => {
    const [first, last = first] = range.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, place) => first + place);
  });
  const links = [...document.querySelectorAll("a[data-runs]")];
  for (const link of links) {
    const count = numbers(link.dataset.runs).length;
    link.title = count === 1 ? "from one run" : `from ${count} runs`;
    link.addEventListener("click", () => {
      for (const row of document.querySelectorAll("tr.lit")) row.classList.remove("lit");
      for (const number of numbers(link.dataset.runs)) {
        for (const row of document.querySelectorAll(`tr[data-run="${number}"]`)) row.classList.add("lit");
      }
    });
  }
})();

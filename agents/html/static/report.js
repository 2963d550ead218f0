"use strict";
// Tips: what a mark stands for, beside the pointer or finger.
const tip = document.getElementById("tip");
function show(event) {
  const mark = event.target.closest && event.target.closest("[data-tip]");
  tip.style.visibility = mark ? "visible" : "hidden";
  if (!mark) return;
  tip.textContent = mark.dataset.tip;
  const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
  tip.style.left = Math.max(8, Math.min(event.pageX + 12, room)) + "px";
  tip.style.top = event.pageY + 16 + "px";
}
addEventListener("pointermove", show);
addEventListener("pointerdown", show);

// Tables: a click on a head sorts by that column, the next one the other way round.
function sort(head) {
  const table = head.closest("table"), column = head.cellIndex;
  const way = head.ariaSort === "descending" ? "ascending" : "descending";
  for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", way);
  const value = row => {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.firstChild.data ?? cell.textContent;
    return text === "" || isNaN(text) ? text : Number(text);
  };
  const sign = way === "ascending" ? 1 : -1;
  const order = (one, other) => {
    const [a, b] = [value(one), value(other)];
    if (a === "" || b === "") return (a === "") - (b === "");
    return sign * (a > b ? 1 : a < b ? -1 : 0);
  };
  const body = table.tBodies[0];
  body.append(...[...body.rows].sort(order));
}
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => sort(button.closest("th")));
}

// A link into something folded opens it, and so does printing, for as long as it takes.
function unfold() {
  const aim = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  for (let each = aim; each; each = each.parentElement) if (each.tagName === "DETAILS") each.open = true;
}
addEventListener("hashchange", unfold);
unfold();
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const each of folded) each.open = true;
});
addEventListener("afterprint", () => { for (const each of folded) each.open = false; });

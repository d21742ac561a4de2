// Ticked rows: the bar says how many, and offers only what at least one of them allows. Beyond the
// page nobody knows what the others allow, so that "all matching" offers both.
// Without JavaScript the bar appears with the first tick (CSS) and offers both.
const bar = document.querySelector("[data-bulk-bar]");

function show() {
  const ticked = [...document.querySelectorAll(".tick:checked")];
  const all = bar.querySelector(".tick-all");
  const count = bar.querySelector("[data-bulk-count]");
  const wanted = all.checked ? document.querySelectorAll(".tick") : ticked;
  count.textContent = all.checked ? "All matching" : `${ticked.length} ticked`;
  const boxes = document.querySelectorAll(".tick");
  // "All matching" is offered once the page's rows are ticked; until then, to tick them.
  const isEveryRow = ticked.length === boxes.length;
  all.closest("label").hidden = !all.checked && !isEveryRow;
  bar.querySelector("[data-bulk-page]").hidden = all.checked || isEveryRow;
  const kinds = new Set([...wanted].map((box) => box.dataset.action));
  const isBeyond = all.checked && Boolean(document.querySelector("#older-jobs, .pager-up"));
  for (const button of bar.querySelectorAll("[data-bulk-action]")) {
    button.hidden = !isBeyond && !kinds.has(button.dataset.bulkAction);
  }
}

if (bar) {
  document.addEventListener("change", (event) => {
    // Whoever takes one row out does not mean all that match any more.
    if (event.target.matches(".tick:not(:checked)")) bar.querySelector(".tick-all").checked = false;
    if (event.target.matches(".tick, .tick-all")) show();
  });
  document.addEventListener("jobs:row", show);
  bar.querySelector("[data-bulk-page]").addEventListener("click", () => {
    document.querySelectorAll(".tick").forEach((box) => { box.checked = true; });
    show();
    bar.querySelector(".tick-all").focus(); // the button is gone now
  });
  bar.querySelector("[data-bulk-clear]").addEventListener("click", () => {
    document.querySelectorAll(".tick:checked, .tick-all:checked").forEach((box) => { box.checked = false; });
    show();
  });
  let last = "";
  // Shift ticks everything in between; by job, since a row may have been replaced meanwhile.
  document.addEventListener("click", (event) => {
    const box = event.target.closest?.(".tick");
    if (!box) return;
    const boxes = [...document.querySelectorAll(".tick")];
    const ends = [boxes.findIndex((one) => one.value === last), boxes.indexOf(box)];
    if (event.shiftKey && ends[0] >= 0) {
      const [from, to] = ends.sort((a, b) => a - b);
      boxes.slice(from, to + 1).forEach((between) => { between.checked = box.checked; });
      show();
    }
    last = box.value;
  });
  show();
}

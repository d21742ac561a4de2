// The Jobs list keeps still: rows that can be seen and are not finished are patched in place when
// the socket says that they changed; new jobs only raise the "N new" control. Nothing is polled.
import { openDialog } from "./act-dialog.js";
import { focusIn } from "./focus.js";

const list = document.querySelector("[data-job-list]");
const news = document.getElementById("new-jobs");
const changed = new Set();
const seen = new Set();
let mayBeNew = false;
let timer = 0;
let pending = null; // how many; when that changes, places in the queue do
let placesTimer = 0;
const PLACES_MS = 3_000; // a busy queue moves all the time, and every page that shows it would ask

function ask() {
  if (timer || document.hidden) return;
  timer = setTimeout(patch, 700);
}

async function patch() {
  timer = 0;
  const ids = [...changed].filter((id) => seen.has(id));
  if (!ids.length && !mayBeNew) return;
  ids.forEach((id) => changed.delete(id));
  mayBeNew = false;
  const url = new URL(list?.dataset.updates ?? `${location.pathname}/updates${location.search}`, location.href);
  url.searchParams.set("rows", ids.join(","));
  url.searchParams.set("newest", list?.dataset.newest ?? "0");
  const response = await fetch(url, { headers: { "X-Requested-With": "fetch" }, quiet: true });
  if (!response.ok || response.redirected) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const answer = page.querySelector("[data-job-updates]");
  if (!answer) return;
  answer.querySelectorAll("article[data-job]").forEach(swap);
  if (Number(answer.dataset.new) > 0 && news) {
    news.textContent = answer.dataset.newWords;
    news.hidden = false;
  }
}

function swap(fresh) {
  const row = document.getElementById(fresh.id);
  if (!row || Number(fresh.dataset.version) < Number(row.dataset.version)) return;
  const ticked = row.querySelector(".tick:checked");
  const hadFocus = row.contains(document.activeElement) ? document.activeElement.className : "";
  const before = row.querySelector(".status")?.textContent.trim();
  row.replaceWith(fresh);
  watcher.observe(fresh);
  const box = fresh.querySelector(".tick");
  if (ticked && box) box.checked = true;
  if (hadFocus) focusIn(fresh, `.${hadFocus.split(" ").join(".")}:not(:disabled)`);
  const after = fresh.querySelector(".status")?.textContent.trim();
  if (before !== after) say(`Job ${fresh.dataset.job}: ${after}`);
  fresh.dispatchEvent(new CustomEvent("jobs:row", { bubbles: true }));
}

/** A pending job's place in the queue moves with those before it. */
function placesMoved(totals) {
  const moved = pending !== null && pending !== totals.pending;
  pending = totals.pending;
  if (!moved || placesTimer) return;
  placesTimer = setTimeout(() => {
    placesTimer = 0;
    for (const dot of document.querySelectorAll("article[data-job] .title > .dot.pending")) {
      changed.add(Number(dot.closest("article").dataset.job));
    }
    ask();
  }, PLACES_MS * (1 + Math.random()));
}

function say(text) {
  const region = document.getElementById("job-news");
  if (region) region.textContent = text;
}

const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const id = Number(entry.target.dataset.job);
    if (entry.isIntersecting) seen.add(id);
    else seen.delete(id);
  }
  if ([...changed].some((id) => seen.has(id))) ask();
});

function watchRows(root) {
  root.querySelectorAll("article[data-job]").forEach((row) => watcher.observe(row));
}

document.addEventListener("spindle:job", ({ detail }) => {
  const row = document.getElementById(`job-${detail.id}`);
  if (row) {
    if ("open" in row.dataset) changed.add(Number(detail.id));
  } else if (Number(detail.id) > Number(list?.dataset.newest ?? 0)) {
    mayBeNew = true;
  }
  placesMoved(detail.all);
  ask();
});

document.addEventListener("spindle:snapshot", ({ detail }) => {
  pending = detail.all.pending;
  document.querySelectorAll("article[data-job][data-open]").forEach((row) => changed.add(Number(row.dataset.job)));
  mayBeNew = true;
  ask();
});

// An act of this user's own: the row is asked for at once, whatever its state.
document.addEventListener("jobs:acted", ({ detail }) => {
  changed.add(Number(detail.job));
  seen.add(Number(detail.job));
  patch();
});

document.addEventListener("visibilitychange", () => { if (changed.size || mayBeNew) ask(); });
document.addEventListener("htmx:load", (event) => watchRows(event.detail.elt.parentElement ?? document));
watchRows(document);
openDialog();

// ActiveAction: the header's chip. It merges the page's own requests and backend jobs, shows the
// most recent one and "+N" for the others, else "Idle".
//
//   registerBackendJob(key, label)   adds or updates; twice with one key changes nothing
//   completeBackendJob(key)          removes it
//   beginAction(label) → end()       a request of the page; htmx, fetch and forms do it themselves
//
// Labels of requests come from the nearest `data-action-label`; `data-action-quiet` on an element
// (a poll) or `{ quiet: true }` in fetch's options keeps a request out of the chip.
const actions = new Map(); // key → {label, order}
const listeners = new Set();
const FINAL = new Set(["completed", "failed", "cancelled"]);
const BACKEND = /^(build|run|job):/;
let order = 0;
let requestCount = 0;
let backendCount = 0; // over every team: more than the fifty jobs the page knows by name, perhaps

export function registerBackendJob(key, label) {
  const held = actions.get(key);
  if (held?.label === label) return;
  actions.set(key, { label, order: held?.order ?? ++order });
  changed();
}

export function completeBackendJob(key) {
  if (actions.delete(key)) changed();
}

export function beginAction(label) {
  const key = `request:${++requestCount}`;
  actions.set(key, { label: label || "Working…", order: ++order });
  changed();
  return () => completeBackendJob(key);
}

export function current() {
  const sorted = [...actions.values()].sort((a, b) => b.order - a.order);
  const known = [...actions.keys()].filter((key) => BACKEND.test(key)).length;
  const count = sorted.length - known + Math.max(known, backendCount);
  return {
    label: sorted[0]?.label ?? "Idle",
    others: sorted.length ? count - 1 : 0,
    isBusy: sorted.length > 0,
  };
}

export function onChange(listener) {
  listeners.add(listener);
  listener(current());
}

function changed() {
  for (const listener of listeners) listener(current());
}

function takeJob(job) {
  if (FINAL.has(job.status) || job.status === "waiting") completeBackendJob(job.action_key);
  else registerBackendJob(job.action_key, job.action_label);
}

function takeTotals({ running, pending }) {
  if (backendCount === running + pending) return;
  backendCount = running + pending;
  changed();
}

function takeSnapshot(jobs) {
  const keys = new Set(jobs.map((job) => job.action_key));
  for (const key of [...actions.keys()]) {
    if (BACKEND.test(key) && !keys.has(key)) completeBackendJob(key);
  }
  [...jobs].sort((a, b) => (a.started ?? a.created) - (b.started ?? b.created)).forEach(takeJob);
}

function labelFor(node) {
  return node?.closest?.("[data-action-label]")?.dataset.actionLabel;
}

function watchHtmx() {
  document.addEventListener("htmx:beforeRequest", ({ detail: { elt, xhr } }) => {
    if (elt.closest("[data-action-quiet]")) return;
    xhr.addEventListener("loadend", beginAction(labelFor(elt)));
  });
}

function watchFetch() {
  const plain = window.fetch.bind(window);
  window.fetch = async (input, options = {}) => {
    const { quiet, actionLabel, ...rest } = options;
    const end = quiet ? () => {} : beginAction(actionLabel);
    try {
      return await plain(input, rest);
    } finally {
      end();
    }
  };
}

/** A form that leaves the page shows its label until the next page is there. */
function watchForms() {
  document.addEventListener("submit", (event) => {
    const label = labelFor(event.submitter) ?? labelFor(event.target);
    if (label && !event.defaultPrevented) beginAction(label);
  });
  window.addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    for (const key of [...actions.keys()]) if (key.startsWith("request:")) completeBackendJob(key);
  });
}

export function start(root, state) {
  takeSnapshot(state.jobs);
  takeTotals(state.totals);
  document.addEventListener("spindle:snapshot", ({ detail }) => {
    takeSnapshot(detail.jobs);
    takeTotals(detail.all);
  });
  document.addEventListener("spindle:job", ({ detail }) => {
    takeJob(detail);
    takeTotals(detail.all);
  });
  document.addEventListener("spindle:signed-out", () => {
    takeSnapshot([]);
    takeTotals({ running: 0, pending: 0 });
  });
  watchHtmx();
  watchFetch();
  watchForms();
  onChange(({ label, others, isBusy }) => {
    root.querySelector("[data-action-text]").textContent = label;
    root.querySelector("[data-action-more]").textContent = others ? `+${others}` : "";
    root.querySelector("[data-action-dot]").classList.toggle("running", isBusy);
  });
  window.spindle = { ...window.spindle, registerBackendJob, completeBackendJob };
}

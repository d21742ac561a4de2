// The Refresh button: re-reads the panes and nothing else does. It keeps the chosen run, pages,
// filters, open details, focus and scroll; "+N" counts jobs that changed since the last reading.

const button = document.querySelector("[data-refresh]");
const badge = button?.querySelector("[data-new]");
const changed = new Set();

const panes = () => document.getElementById(button.dataset.refresh);

function address() {
  const chosen = panes()?.querySelector("[data-address]")?.dataset.address;
  const current = new URL(location.href);
  if (!chosen) return current.pathname + current.search;
  const path = new URL(chosen, location.href).pathname;
  return path + current.search;
}

const rows = () => [...(panes()?.querySelectorAll("#runs [data-job-id]") ?? [])];

const rowOf = (job) => rows().find((row) => row.dataset.jobId === String(job.id));

/** Newer than its row, or without one. */
function isNews(job) {
  const row = rowOf(job);
  return !row || Number(row.dataset.version) < job.v;
}

/** A snapshot also holds old jobs that stand on other pages: only what follows the first row. */
function isNewsOfSnapshot(job) {
  if (rowOf(job)) return isNews(job);
  const newest = Math.max(0, ...rows().map((row) => Number(row.dataset.jobId)));
  return job.id > newest && !new URL(location.href).searchParams.has("runs_after");
}

function show() {
  badge.hidden = changed.size === 0;
  badge.textContent = changed.size ? `+${changed.size}` : "";
  button.setAttribute("aria-label", changed.size ? `Refresh, ${changed.size} new` : "Refresh");
}

function take(job, isNew) {
  if (job?.kind !== "spinner" || String(job.project_id) !== button.dataset.projectId) return;
  if (!isNew(job)) return;
  changed.add(job.id);
  show();
}

function keep(root) {
  const open = [...root.querySelectorAll("details[data-keep-open][open]")].map((d) => d.id);
  const scrolls = [...root.querySelectorAll("[data-keep-scroll]")].map((e) => [e.id, e.scrollTop]);
  const x = scrollX;
  const y = scrollY;
  const focus = document.activeElement?.id;
  return () => {
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    for (const [id, top] of scrolls) {
      const element = document.getElementById(id);
      if (element) element.scrollTop = top;
    }
    if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
    scrollTo(x, y);
  };
}

async function refresh() {
  const target = address();
  const restore = keep(panes());
  button.setAttribute("aria-busy", "true");
  try {
    await htmx.ajax("GET", target, { target: `#${button.dataset.refresh}`, swap: "outerHTML" });
    changed.clear();
    show();
    history.replaceState(history.state, "", target);
    restore();
  } finally {
    button.removeAttribute("aria-busy");
  }
}

if (button && badge) {
  button.addEventListener("click", (event) => {
    if (!window.htmx || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    refresh();
  });
  document.addEventListener("spindle:job", ({ detail }) => take(detail, isNews));
  // After a reconnect what was missed stands in the snapshot.
  document.addEventListener("spindle:snapshot", ({ detail }) => {
    for (const job of detail?.jobs ?? []) take(job, isNewsOfSnapshot);
  });
}

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

function isKnown(id, version) {
  const row = panes()?.querySelector(`#runs [data-job-id="${CSS.escape(String(id))}"]`);
  return row !== null && Number(row.dataset.version) >= version;
}

function show() {
  badge.hidden = changed.size === 0;
  badge.textContent = changed.size ? `+${changed.size}` : "";
  button.setAttribute("aria-label", changed.size ? `Refresh, ${changed.size} new` : "Refresh");
}

function take(job) {
  if (!job || (job.kind && job.kind !== "spinner")) return;
  const here = [button.dataset.project, button.dataset.projectId];
  if (!here.includes(String(job.project_id ?? job.project))) return;
  if (isKnown(job.id, job.version)) return;
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
  document.addEventListener("spindle:job", ({ detail }) => take(detail));
  // After a reconnect what was missed stands in the snapshot.
  document.addEventListener("spindle:snapshot", ({ detail }) => detail?.jobs?.forEach(take));
}

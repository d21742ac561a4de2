// The Active Jobs indicator of the sidebar and its panel (docs/live.md).
import { clockText, roughText, serverNow, timeOfDay } from "./clock.js";

const SHOWN = 50;
const LINGER_MS = 5_000;
const RANK = { running: 0, waiting: 1, pending: 2 };
const WORDS = {
  pending: "Queued", running: "Running", waiting: "Waiting", completed: "Completed",
  failed: "Failed", cancelled: "Cancelled", cancelling: "Cancelling",
};
const ICONS = {
  pending: "M12 7v5l3 2M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18",
  running: "M12 3a9 9 0 1 0 9 9",
  waiting: "M9 6v12M15 6v12",
  completed: "M5 12.5l4.5 4.5L19 7.5",
  failed: "M12 4 2.5 20h19zM12 10v4M12 17h.01",
  cancelled: "M6 6l12 12M18 6 6 18",
  cancelling: "M7 7h10v10H7z",
};
const HEALTH = { connected: "Connected", checking: "Checking", disconnected: "Disconnected" };

export function labelOf(totals) {
  for (const status of ["running", "pending", "waiting"]) {
    const count = totals[status];
    if (count) return `${count.toLocaleString("en")} ${count === 1 ? "job" : "jobs"} ${status}`;
  }
  return "No active jobs";
}

/** Silent, or at work for longer than the server allows (jobs/live/facts.py); no wait or pause counts. */
export function isStalled(job, now) {
  return Boolean(job.status === "running" && !job.paused && job.started && job.stall_after !== null
    && now - (job.resumed || job.started) > job.stall_after * 1000);
}

export class ActiveJobs {
  constructor(root, state) {
    this.root = root;
    this.panel = root.querySelector("[data-panel]");
    this.summary = root.querySelector("summary");
    this.groups = root.querySelector("[data-groups]");
    this.jobs = new Map(); // id → facts
    this.versions = new Map();
    this.totals = state.totals;
    this.inProject = state.in_project;
    this.rows = new Map(); // id → the row's nodes
    this.isLive = false;
    this.frozenAt = serverNow();
    this.put(state.jobs);
    this.listen();
    this.draw();
  }

  listen() {
    document.addEventListener("spindle:snapshot", ({ detail }) => {
      this.jobs.clear();
      this.versions.clear();
      this.totals = detail.all;
      this.inProject = detail.in_project;
      this.put(detail.jobs);
      this.draw();
    });
    document.addEventListener("spindle:job", (event) => this.take(event.detail));
    document.addEventListener("spindle:health", (event) => this.showHealth(event.detail));
    document.addEventListener("spindle:signed-out", () => this.showSignedOut());
    this.root.addEventListener("toggle", () => {
      if (!this.root.open) return;
      this.draw();
      this.panel.focus({ preventScroll: true });
    });
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.close());
    document.addEventListener("click", (event) => !this.root.contains(event.target) && this.close());
    setInterval(() => this.tick(), 1_000);
  }

  close() {
    if (!this.root.open) return;
    const hadFocus = this.root.contains(document.activeElement) || document.activeElement === document.body;
    this.root.open = false;
    if (hadFocus) this.summary.focus({ preventScroll: true });
  }

  put(jobs) {
    for (const job of jobs) {
      this.jobs.set(job.id, job);
      this.versions.set(job.id, job.v);
    }
  }

  take(job) {
    if (job.v < (this.versions.get(job.id) ?? -1)) return;
    this.versions.set(job.id, job.v);
    this.totals = job.all;
    this.inProject[job.project_id] = job.in_project;
    const before = this.jobs.get(job.id);
    this.jobs.set(job.id, job);
    if (!(job.status in RANK)) {
      if (before && before.status in RANK) this.say(`${job.label}: ${WORDS[job.status]}`);
      setTimeout(() => this.forget(job.id), LINGER_MS);
    }
    this.draw();
  }

  /** A finished job leaves, unless it was started again meanwhile. */
  forget(id) {
    const held = this.jobs.get(id);
    if (!held || held.status in RANK) return;
    this.jobs.delete(id);
    this.draw();
  }

  draw() {
    const { totals } = this;
    const count = totals.running + totals.waiting + totals.pending;
    this.text("[data-label]", labelOf(totals));
    this.find("[data-spin]").classList.toggle("is-running", totals.running > 0);
    const queued = totals.running ? totals.pending : 0;
    this.text("[data-queued]", queued ? `${queued.toLocaleString("en")} more queued` : "");
    this.text("[data-all]", count > SHOWN ? `see all ${count.toLocaleString("en")}` : "All jobs");
    this.find("[data-all]").href = this.root.dataset.jobsUrl + (count > SHOWN ? "?status=active" : "");
    if (this.root.open) this.drawRows();
    this.tick();
  }

  shown() {
    const jobs = [...this.jobs.values()].sort((a, b) => rank(a) - rank(b) || a.id - b.id);
    return jobs.slice(0, SHOWN).sort((a, b) => a.project.localeCompare(b.project)
      || a.project_id - b.project_id || rank(a) - rank(b) || a.id - b.id);
  }

  /** Rows are kept and patched, so that a press or a focus outlives an update. */
  drawRows() {
    const groups = [];
    for (const job of this.shown()) {
      if (groups.at(-1)?.id !== job.project_id) groups.push({ id: job.project_id, name: job.project, jobs: [] });
      groups.at(-1).jobs.push(job);
    }
    const order = JSON.stringify(groups.map((group) => [group.id, group.name, group.jobs.map((job) => job.id)]));
    const rows = new Map();
    for (const { jobs } of groups) for (const job of jobs) rows.set(job.id, this.row(job));
    this.rows = rows;
    if (order !== this.order) {
      const focused = this.groups.contains(document.activeElement) ? document.activeElement : null;
      this.order = order;
      this.groups.replaceChildren(...groups.map((group) => this.section(group)));
      if (!groups.length) this.groups.append(element("p", "nothing", "No active jobs"));
      if (focused) (focused.isConnected ? focused : this.panel).focus({ preventScroll: true });
    }
    for (const group of groups) {
      this.text(`[data-group-count="${group.id}"]`, (this.inProject[group.id] ?? 0).toLocaleString("en"));
    }
  }

  section(group) {
    const node = document.createElement("section");
    node.setAttribute("aria-label", group.name);
    const heading = element("h2", "", `${group.name} `);
    const count = element("span", "group-count");
    count.dataset.groupCount = group.id;
    heading.append(count);
    const list = document.createElement("ul");
    list.append(...group.jobs.map((job) => this.rows.get(job.id).item));
    node.append(heading, list);
    return node;
  }

  row(job) {
    const held = this.rows.get(job.id) ?? newRow(`${this.root.dataset.jobsUrl.replace(/\/?$/, "/")}${job.id}`, job.id);
    held.link.className = `active-job is-${job.status}`;
    const shown = job.cancelling ? "cancelling" : job.status;
    if (held.shown !== shown) held.icon.replaceChildren(icon(shown));
    held.shown = shown;
    setText(held.name, job.label);
    setText(held.shortId, job.short_id ? ` #${job.short_id}` : "");
    held.job = job;
    return held;
  }

  /** Once a second; what runs is counted from the server's start time, and stands while not live. */
  tick() {
    const now = this.isLive ? serverNow() : this.frozenAt;
    this.find("[data-stalled]").hidden = ![...this.jobs.values()].some((job) => isStalled(job, now));
    if (!this.root.open) return;
    for (const { job, time, who, stalled } of this.rows.values()) {
      setText(time, timeText(job, now));
      setText(who, whoText(job, now));
      stalled.hidden = !isStalled(job, now);
    }
  }

  showHealth({ state, since, last }) {
    const mark = this.find("[data-health]");
    mark.dataset.health = state;
    this.text("[data-health-word]", HEALTH[state]);
    mark.title = last ? `${HEALTH[state]} · last update ${timeOfDay(last)}` : HEALTH[state];
    if (this.isLive && state !== "connected") this.frozenAt = serverNow();
    this.isLive = state === "connected";
    this.root.classList.toggle("is-not-live", state === "disconnected");
    const note = this.find("[data-not-live]");
    note.hidden = state !== "disconnected";
    if (state === "disconnected") setText(note, `not live since ${timeOfDay(last ?? since)}`);
  }

  /** What was known is taken away: it may be somebody else who looks at the page now. */
  showSignedOut() {
    this.jobs.clear();
    this.totals = { running: 0, waiting: 0, pending: 0 };
    this.draw();
    this.text("[data-label]", "Signed out");
    this.text("[data-not-live]", "You are signed out. Reload the page to sign in again.");
  }

  say(text) {
    this.text("[data-announce]", text);
  }

  find(selector) {
    return this.root.querySelector(selector);
  }

  text(selector, text) {
    setText(this.find(selector), text);
  }
}

function newRow(href, id) {
  const item = document.createElement("li");
  const link = element("a", "active-job");
  link.href = href;
  link.dataset.job = id;
  const mark = element("span", "icon");
  const label = element("span", "label");
  const name = element("span", "");
  const shortId = element("span", "mono muted");
  const stalled = element("span", "pill warn", "STALLED?");
  stalled.hidden = true;
  const time = element("span", "time");
  const who = element("span", "who");
  label.append(name, shortId, " ", stalled);
  link.append(mark, label, time, who);
  item.append(link);
  return { item, link, icon: mark, name, shortId, stalled, time, who };
}

function rank(job) {
  return RANK[job.status] ?? 0.5; // just ended: after what runs, before what waits
}

function timeText(job, now) {
  if (job.cancelling) return job.kind === "run" ? "Stopping…" : "Cancelling…";
  if (job.status === "running" && job.started) return clockText(now - job.started);
  return WORDS[job.status];
}

function whoText(job, now) {
  if (job.status === "failed") return [job.error, job.what_to_do].filter(Boolean).join(" ");
  const parts = [job.kind === "spinner" ? "Spinner" : job.agent];
  if (job.kind === "spinner") {
    parts.push(`${job.finished.toLocaleString("en")} of ${job.total.toLocaleString("en")} contacts`);
    if (job.failed) parts.push(`${job.failed.toLocaleString("en")} failed`);
  } else {
    parts.push(job.ticket);
    if (job.kind === "task" && job.total) {
      parts.push(`${job.finished.toLocaleString("en")} of ${job.total.toLocaleString("en")}`);
    }
  }
  if (job.status === "pending") parts.push(`for ${roughText(now - job.created)}`);
  if (job.status === "waiting") parts.push(`for ${roughText(now - (job.waiting_since ?? job.started ?? job.created))}`);
  if (isStalled(job, now)) parts.push(stallText(job));
  return parts.filter(Boolean).join(" · ");
}

/** Why it may be stalled, in the words of jobs/live/words.py. */
function stallText(job) {
  const text = (seconds) => (seconds < 90 ? `${Math.round(seconds)}s` : `${Math.round(seconds / 60)}m`);
  if (job.silent) return "nothing heard of it";
  if (!job.usual_high) return `over ${text(job.stall_after)}; what is usual is not known yet`;
  return `usually ${job.usual_low ? `${text(job.usual_low)}–` : "up to "}${text(job.usual_high)}`;
}

function icon(status) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const attributes = {
    class: `job-icon ${status}`, width: 16, height: 16, viewBox: "0 0 24 24", fill: "none",
    stroke: "currentColor", "stroke-width": 2.2, "stroke-linecap": "round",
    "stroke-linejoin": "round", role: "img", "aria-label": WORDS[status],
  };
  for (const [name, value] of Object.entries(attributes)) svg.setAttribute(name, value);
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[status]);
  svg.append(path);
  return svg;
}

function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

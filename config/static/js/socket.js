// The page's one socket. On document it dispatches
//   spindle:health      {state: "connected" | "checking" | "disconnected", since: Date, last: Date}
//   spindle:snapshot    {jobs, all, in_project}, first after every (re)connect
//   spindle:job         one job's facts, with `all` and `in_project`
//   spindle:notices     {unread}: how many notices are unread, after a snapshot and at every change
//   spindle:signed-out  once, when the session has ended
// `all` is {running, waiting, pending} over every team; `in_project` a project's active jobs.
import { tellServerTime } from "./clock.js";

const PING_MS = 5_000;
const ANSWER_MS = 3_500;
const HIDDEN_PING_MS = 30_000;
// A server to which a thousand pages come back at once is slow to answer the last of them: who gives
// up early only makes its queue longer.
const OPEN_MS = 30_000;
const BACKOFF_FIRST_MS = 500;
const BACKOFF_MOST_MS = 30_000;
const SIGNED_OUT = 4401;
const ANSWER_EVERY = 100; // the server sends no more than a few hundred unanswered messages

export class LiveSocket {
  constructor(address) {
    this.address = address;
    this.state = "";
    this.tries = 0;
    this.last = null;
    this.isOver = false;
    this.totals = {}; // team → totals
    // Pages that came back together must not answer together.
    this.taken = Math.floor(Math.random() * ANSWER_EVERY);
    document.addEventListener("visibilitychange", () => !document.hidden && this.wake());
    window.addEventListener("online", () => this.wake());
    window.addEventListener("offline", () => this.ping());
    // A page kept for "back" holds no socket.
    window.addEventListener("pagehide", () => this.end());
    window.addEventListener("pageshow", (event) => event.persisted && !this.isOver && this.open());
    this.open();
  }

  open() {
    clearTimeout(this.retryTimer);
    this.set(this.state === "disconnected" ? "disconnected" : "checking");
    this.hasSnapshot = false;
    const socket = new WebSocket(this.address);
    this.socket = socket;
    this.expect(OPEN_MS);
    clearTimeout(this.doubtTimer);
    this.doubtTimer = setTimeout(() => this.set("disconnected"), 8_000);
    socket.addEventListener("message", (event) => this.socket === socket && this.take(event.data));
    socket.addEventListener("close", (event) => this.socket === socket && this.lose(event.code));
  }

  take(text) {
    const message = JSON.parse(text);
    if (Array.isArray(message)) {
      for (const one of message) this.takeOne(one);
    } else {
      this.takeOne(message);
    }
    if (message.type === "pong") return;
    this.taken += 1;
    if (this.taken % ANSWER_EVERY === 0) this.ping();
  }

  takeOne(message) {
    this.last = new Date();
    tellServerTime(message.now);
    clearTimeout(this.answerTimer);
    clearTimeout(this.doubtTimer);
    this.schedulePing();
    if (message.type === "snapshot") {
      this.hasSnapshot = true;
      this.tries = 0;
      this.totals = message.totals;
      dispatch("spindle:snapshot", { jobs: message.jobs, in_project: message.in_project, all: this.all() });
      dispatch("spindle:notices", { unread: message.unread });
    } else if (message.type === "notices") {
      dispatch("spindle:notices", { unread: message.unread });
    } else if (message.type === "job" && this.hasSnapshot) {
      this.totals[message.job.team] = message.totals;
      dispatch("spindle:job", { ...message.job, in_project: message.in_project, all: this.all() });
    }
    if (this.hasSnapshot) this.set("connected");
  }

  all() {
    const sum = { running: 0, waiting: 0, pending: 0 };
    for (const totals of Object.values(this.totals)) {
      for (const status of Object.keys(sum)) sum[status] += totals[status];
    }
    return sum;
  }

  schedulePing() {
    clearTimeout(this.pingTimer);
    this.pingTimer = setTimeout(() => this.ping(), document.hidden ? HIDDEN_PING_MS : PING_MS);
  }

  /** Ask whether the other side is there: no answer for a second is doubt, then it is away. */
  ping() {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    this.socket.send('{"type":"ping"}');
    clearTimeout(this.doubtTimer);
    this.doubtTimer = setTimeout(() => this.set("checking"), 1_000);
    this.expect(ANSWER_MS);
  }

  expect(ms) {
    const socket = this.socket;
    clearTimeout(this.answerTimer);
    this.answerTimer = setTimeout(() => {
      if (this.socket !== socket) return;
      this.socket = null;
      socket.close();
      this.lose(0);
    }, ms);
  }

  /** The tab is looked at again: one snapshot, whatever was missed. */
  wake() {
    if (this.isOver) return;
    if (this.socket?.readyState === WebSocket.OPEN) {
      this.socket.send('{"type":"resync"}');
      this.ping();
    } else if (!this.socket) {
      this.tries = 0;
      this.open();
    }
  }

  lose(code) {
    this.socket = null;
    this.stopTimers();
    this.set("disconnected");
    if (code === SIGNED_OUT) {
      this.isOver = true;
      dispatch("spindle:signed-out", {});
      return;
    }
    // Full jitter, so that a thousand browsers do not come back in the same instant.
    const most = Math.min(BACKOFF_MOST_MS, BACKOFF_FIRST_MS * 2 ** this.tries);
    this.tries += 1;
    this.retryTimer = setTimeout(() => this.open(), Math.random() * most);
  }

  end() {
    const socket = this.socket;
    this.socket = null;
    this.stopTimers();
    socket?.close();
  }

  stopTimers() {
    for (const name of ["retryTimer", "pingTimer", "answerTimer", "doubtTimer"]) clearTimeout(this[name]);
  }

  set(state) {
    if (this.state !== state) this.since = new Date();
    else if (state !== "connected") return;
    this.state = state;
    dispatch("spindle:health", { state, since: this.since, last: this.last });
  }
}

function dispatch(name, detail) {
  document.dispatchEvent(new CustomEvent(name, { detail }));
}

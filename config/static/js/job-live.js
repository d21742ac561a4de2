// A job's page while it runs: htmx swaps the living parts; what is open stays open, and a part in
// which text is selected waits for the next time.
import { focusIn } from "./focus.js";

const opened = new Set();
let focused = "";

function poll() {
  return document.querySelector("[data-job-poll]");
}

document.addEventListener("spindle:job", ({ detail }) => {
  const element = poll();
  if (element && Number(element.dataset.jobPoll) === Number(detail.id)) window.htmx?.trigger(element, "job-changed");
});

document.addEventListener("spindle:snapshot", () => {
  const element = poll();
  if (element) window.htmx?.trigger(element, "job-changed");
});

document.addEventListener("jobs:acted", () => {
  const element = poll();
  if (element) window.htmx?.trigger(element, "job-changed");
  else readAgain();
});

/** A job that has ended is not polled; what was said of the act stays on the page. */
function readAgain() {
  const url = new URL(location.href);
  url.searchParams.set("stamp", "");
  window.htmx?.ajax("GET", `${url.pathname}${url.search}`, { target: "#job-poll", swap: "outerHTML" });
}

document.addEventListener("htmx:oobBeforeSwap", (event) => {
  const { target } = event.detail;
  const selection = document.getSelection();
  if (selection && !selection.isCollapsed && target.contains(selection.anchorNode)) {
    event.detail.shouldSwap = false;
    return;
  }
  if (target.contains(document.activeElement)) focused = target.id;
  target.querySelectorAll("details[open][id]").forEach((details) => opened.add(details.id));
});

document.addEventListener("htmx:oobAfterSwap", () => {
  for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
  opened.clear();
  if (focused) focusIn(document.getElementById(focused));
  focused = "";
});

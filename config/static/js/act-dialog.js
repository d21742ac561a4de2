// Links marked data-act (Cancel, Resend, Force stop) open their confirmation page in a dialog;
// without JavaScript they lead to that page. The answer is told in #messages and, as the event
// jobs:acted, to whatever shows the job.
import { focusIn } from "./focus.js";

const HEADERS = { "X-Dialog": "1" };
const PREFERRED = "a[data-act]";

async function open(link) {
  const dialog = document.getElementById("act-dialog");
  const response = await fetch(link.href, { headers: HEADERS });
  if (!response.ok || response.redirected) {
    location.assign(link.href);
    return;
  }
  dialog.innerHTML = await response.text();
  const holder = link.closest("[id]")?.id;
  // News may have replaced the button behind the dialog's back.
  dialog.onclose = () => link.isConnected || focusIn(document.getElementById(holder), PREFERRED);
  dialog.showModal();
}

async function send(form, dialog) {
  form.querySelectorAll("button").forEach((button) => { button.disabled = true; });
  const response = await fetch(form.action, { method: "POST", body: new FormData(form), headers: HEADERS });
  dialog.close();
  if (!response.ok) {
    tell("error", `That did not work (${response.status}). Reload the page and look at the job.`);
    return;
  }
  const answer = await response.json();
  tell(answer.level, answer.message, answer.url);
  document.dispatchEvent(new CustomEvent("jobs:acted", { detail: answer }));
}

function tell(level, text, url) {
  const region = document.getElementById("messages");
  const line = document.createElement("p");
  line.className = `message ${level}`;
  line.append(text);
  if (url && url !== location.pathname) {
    const link = document.createElement("a");
    link.className = "link";
    link.href = url;
    link.textContent = "Open";
    line.append(" ", link);
  }
  region?.replaceChildren(line);
}

let isReady = false;

export function openDialog() {
  if (isReady) return;
  isReady = true;
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-act]");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      open(link);
    }
    if (event.target.closest?.("#act-dialog [data-close]")) {
      event.preventDefault();
      document.getElementById("act-dialog").close();
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === " " && event.target.matches?.("a[data-act]")) {
      event.preventDefault();
      event.target.click();
    }
  });
  document.addEventListener("submit", (event) => {
    const dialog = event.target.closest?.("#act-dialog");
    if (!dialog) return;
    event.preventDefault();
    send(event.target, dialog);
  });
}

openDialog();

// "?" opens the sheet of keys. Every key presses a link or button that the page shows anyway.
const OFF = "spindle.keys-off";
const GO_WAITS_MS = 1_500;
const sheet = document.querySelector("[data-shortcuts]");
let goUntil = 0;

const KEYS = {
  "/": () => document.querySelector("main input[type=search], main [data-search]"),
  r: () => document.querySelector("main [data-refresh]"),
  n: () => document.querySelector("main a[rel~=next]"),
  p: () => document.querySelector("main a[rel~=prev]"),
};

function isTyping(node) {
  return node.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(node.tagName);
}

function press(target, event) {
  if (!target) return;
  event.preventDefault();
  if (target.tagName === "INPUT") {
    target.focus();
    target.select();
  } else {
    target.click();
  }
}

function open() {
  if (sheet && !sheet.open) sheet.showModal();
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
  if (event.key === "?") {
    event.preventDefault();
    open();
  } else if (!localStorage.getItem(OFF)) {
    const isGoing = Date.now() < goUntil;
    goUntil = 0;
    if (isGoing) press(document.querySelector(`.nav a[data-go="${CSS.escape(event.key)}"]`), event);
    else if (event.key === "g") goUntil = Date.now() + GO_WAITS_MS;
    else press(KEYS[event.key]?.(), event);
  }
});

for (const button of document.querySelectorAll("[data-shortcuts-open]")) {
  button.hidden = false;
  button.addEventListener("click", open);
}
const choice = sheet?.querySelector("[data-keys-on]");
if (choice) {
  choice.checked = !localStorage.getItem(OFF);
  choice.addEventListener("change", () => {
    if (choice.checked) localStorage.removeItem(OFF);
    else localStorage.setItem(OFF, "1");
  });
}

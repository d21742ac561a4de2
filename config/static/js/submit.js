// A form that was sent is not sent again by a second click. A page that comes from the browser's
// memory, or a form whose answer is a file, may be sent again.
const AGAIN_AFTER_MS = 5_000;
const sent = new Set();

function release(form) {
  sent.delete(form);
  for (const button of form.querySelectorAll("[aria-busy]")) button.removeAttribute("aria-busy");
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.getAttribute("method")?.toLowerCase() !== "post") return;
  if (sent.has(form)) {
    event.preventDefault();
    return;
  }
  sent.add(form);
  event.submitter?.setAttribute("aria-busy", "true");
  setTimeout(release, AGAIN_AFTER_MS, form);
});
window.addEventListener("pageshow", () => sent.forEach(release));

// Requests made by htmx: their token, and their failures said aloud (#toasts has role=alert).
export function toast(text) {
  const node = document.createElement("p");
  node.className = "toast error";
  node.textContent = text;
  document.getElementById("toasts")?.append(node);
  setTimeout(() => node.remove(), 8_000);
}

const WORDS = {
  401: "You were signed out. Sign in again; nothing was changed.",
  403: "You may not do this. Nothing was changed.",
  404: "It is not there any more. Reload the page.",
  429: "Too many requests. Wait a moment and try again.",
  503: "The database does not answer. Nothing was changed; try again in a moment.",
};

// The token is read when the request leaves: signing in elsewhere may have renewed it.
document.addEventListener("htmx:configRequest", (event) => {
  const token = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1];
  if (token) event.detail.headers["X-CSRFToken"] = token;
});
document.addEventListener("htmx:responseError", (event) => {
  const { status } = event.detail.xhr;
  toast(WORDS[status] ?? `That did not work (${status}). Nothing was changed; try again.`);
});
document.addEventListener("htmx:sendError", () => toast("The portal does not answer. Check the connection and try again."));
document.addEventListener("htmx:timeout", () => toast("The portal took too long to answer. Try again."));

// What every page has: menus that close, the theme switch, errors of requests said aloud.
const THEME = "spindle.theme";

function chooseTheme(choice) {
  if (choice === "system") {
    localStorage.removeItem(THEME);
    delete document.documentElement.dataset.theme;
  } else {
    localStorage.setItem(THEME, choice);
    document.documentElement.dataset.theme = choice;
  }
  showTheme();
}

function showTheme() {
  const current = localStorage.getItem(THEME) ?? "system";
  for (const button of document.querySelectorAll("[data-theme-choice]")) {
    button.setAttribute("aria-pressed", String(button.dataset.themeChoice === current));
  }
}

function closeMenus(except) {
  for (const menu of document.querySelectorAll("details[data-menu][open]")) {
    if (menu !== except) menu.open = false;
  }
}

function toast(text) {
  const node = document.createElement("p");
  node.className = "toast error";
  node.textContent = text;
  document.getElementById("toasts").append(node);
  setTimeout(() => node.remove(), 8_000);
}

document.addEventListener("click", (event) => {
  const choice = event.target.closest("[data-theme-choice]");
  if (choice) chooseTheme(choice.dataset.themeChoice);
  closeMenus(event.target.closest("details[data-menu]"));
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const open = document.querySelector("details[data-menu][open]");
  closeMenus();
  open?.querySelector("summary").focus();
});
// htmx asks for the CSRF token when the request leaves: signing in elsewhere may have renewed it.
document.addEventListener("htmx:configRequest", (event) => {
  const token = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1];
  if (token) event.detail.headers["X-CSRFToken"] = token;
});
document.addEventListener("htmx:responseError", (event) => {
  const { status } = event.detail.xhr;
  toast(status === 403 ? "You may not do this." : status === 404 ? "It is not there any more. Reload the page."
    : `That did not work (${status}). Nothing was changed; try again.`);
});
document.addEventListener("htmx:sendError", () => toast("The portal does not answer. Check the connection and try again."));
for (const node of document.querySelectorAll("[data-theme-switch]")) node.hidden = false;
showTheme();

// data-theme-choice: light, dark, or as the system has it. theme.js applies the choice at load.
const THEME = "spindle.theme";

function choose(choice) {
  if (choice === "system") {
    localStorage.removeItem(THEME);
    delete document.documentElement.dataset.theme;
  } else {
    localStorage.setItem(THEME, choice);
    document.documentElement.dataset.theme = choice;
  }
  show();
}

function show() {
  const current = localStorage.getItem(THEME) ?? "system";
  for (const button of document.querySelectorAll("[data-theme-choice]")) {
    button.setAttribute("aria-pressed", String(button.dataset.themeChoice === current));
  }
}

document.addEventListener("click", (event) => {
  const choice = event.target.closest("[data-theme-choice]");
  if (choice) choose(choice.dataset.themeChoice);
});
// Another tab's choice holds here too.
window.addEventListener("storage", (event) => {
  if (event.key !== THEME) return;
  if (event.newValue) document.documentElement.dataset.theme = event.newValue;
  else delete document.documentElement.dataset.theme;
  show();
});
for (const node of document.querySelectorAll("[data-theme-switch]")) node.hidden = false;
show();

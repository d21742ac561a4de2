/* The pipeline's editor, made quicker: the page works without this.
 *
 * On [data-step-editor] (the form): shows fields only where they count (data-shown-when), adds an
 * empty row when the last one is begun, tells the flow and the JSON beside it about changes
 * ("steps-changed"), moves steps with Alt+Up and Alt+Down, and asks before unsaved text is left.
 */

const FORM = "[data-step-editor]";
const QUIET_MS = 500;

let timer = 0;
let leaves = false; // a save is on its way: leaving is wanted

const form = () => document.querySelector(FORM);
const isUnsaved = () => form()?.hasAttribute("data-unsaved") ?? false;

function markUnsaved() {
  form()?.setAttribute("data-unsaved", "");
  showUnsaved();
}

function showUnsaved() {
  for (const words of document.querySelectorAll("[data-unsaved-words]")) words.hidden = !isUnsaved();
}

function showFields(within) {
  for (const control of within.querySelectorAll("[data-shown-when]")) {
    const other = document.getElementById(control.dataset.shownWhen);
    if (!other) continue;
    const value = other.type === "checkbox" ? String(other.checked) : other.value;
    const wanted = control.dataset.shownValues.split(" ");
    const parent = other.closest("[data-control]");
    control.hidden = !wanted.includes(value) || Boolean(parent?.hidden);
  }
}

function growRows(input) {
  const rows = input.closest("[data-rows]");
  const row = input.closest("[data-row]");
  if (!rows || row !== rows.querySelector("[data-row]:last-of-type") || !input.value) return;
  const count = rows.closest("[data-control]").querySelector("[data-row-count]");
  const next = Number(count.value);
  const fresh = row.cloneNode(true);
  const prefix = rows.dataset.rows;
  for (const field of fresh.querySelectorAll("input, select, textarea")) {
    field.name = field.name.replace(`${prefix}-${next - 1}-`, `${prefix}-${next}-`);
    field.id = field.name;
    if (field.type === "checkbox") field.checked = false;
    else if (field.tagName === "SELECT") field.selectedIndex = 0;
    else field.value = "";
  }
  for (const label of fresh.querySelectorAll(".visually-hidden")) {
    label.textContent = label.textContent.replace(/ \d+:/, ` ${next + 1}:`);
  }
  count.value = String(next + 1);
  row.after(fresh);
}

function tellOthers() {
  clearTimeout(timer);
  timer = setTimeout(() => {
    const json = document.querySelector("[data-json]");
    const isJsonEdited = json && json.value !== json.defaultValue;
    if (!isJsonEdited) form()?.dispatchEvent(new CustomEvent("steps-changed"));
  }, QUIET_MS);
}

function prepare(editor) {
  showFields(editor);
  showUnsaved();
  const focus = editor.dataset.focus;
  if (!focus) return;
  editor.removeAttribute("data-focus");
  let target = document.getElementById(focus);
  if (target?.disabled) target = target.parentElement.querySelector("button:not([disabled])");
  if (target?.matches("details")) target = target.querySelector("summary");
  target?.focus({ preventScroll: true });
  target?.closest(".card")?.scrollIntoView({ block: "nearest" });
}

document.addEventListener("input", (event) => {
  if (!event.target.closest(FORM)) return;
  markUnsaved();
  growRows(event.target);
  if (!event.target.matches("[data-json]")) tellOthers();
});

document.addEventListener("change", (event) => {
  if (event.target.closest(FORM)) showFields(form());
});

document.addEventListener("keydown", (event) => {
  if (!event.altKey || (event.key !== "ArrowUp" && event.key !== "ArrowDown")) return;
  const card = event.target.closest?.("[data-step]");
  if (!card) return;
  event.preventDefault();
  const side = event.key === "ArrowUp" ? "up" : "down";
  document.getElementById(`s${card.dataset.step}-${side}`)?.click();
});

document.addEventListener("submit", (event) => {
  if (event.target.matches(FORM)) leaves = true;
});

addEventListener("beforeunload", (event) => {
  if (isUnsaved() && !leaves) event.preventDefault();
});
addEventListener("pageshow", () => { leaves = false; });

document.addEventListener("htmx:beforeRequest", () => clearTimeout(timer));
document.addEventListener("htmx:afterSettle", () => { if (form()) prepare(form()); });

if (form()) prepare(form());

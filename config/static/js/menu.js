// details[data-menu] opens by itself; here a click outside or Escape closes it, arrows walk in it.
function closeMenus(except) {
  for (const menu of document.querySelectorAll("details[data-menu][open]")) {
    if (menu !== except) menu.open = false;
  }
}

document.addEventListener("click", (event) => closeMenus(event.target.closest("details[data-menu]")));
document.addEventListener("keydown", (event) => {
  const open = document.querySelector("details[data-menu][open]");
  if (!open) return;
  if (event.key === "Escape") {
    closeMenus();
    open.querySelector("summary").focus();
  } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && open.contains(event.target)) {
    const items = [...open.querySelectorAll("summary, a[href], button")].filter((item) => item.offsetParent);
    const step = event.key === "ArrowDown" ? 1 : -1;
    const at = items.indexOf(document.activeElement);
    items[(at + step + items.length) % items.length]?.focus();
    event.preventDefault();
  }
});

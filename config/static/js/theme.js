// Before the first paint, so that no page flashes in the wrong theme; hence no module.
(() => {
  const chosen = localStorage.getItem("spindle.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();

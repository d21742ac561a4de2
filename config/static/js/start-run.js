// Start a run: choosing a saved filter, file or run also chooses where the contacts come from.

for (const form of document.querySelectorAll("[data-start-run]")) {
  for (const more of form.querySelectorAll("[data-for]")) {
    more.addEventListener("change", () => {
      const radio = form.querySelector(`input[name="contacts"][value="${more.dataset.for}"]`);
      if (radio) radio.checked = true;
    });
  }
}

// Two panes: marks the run whose records are shown, and brings them into view on a narrow screen.
// Also leaves empty fields out of a filter form's address ([data-clean]).

const NARROW = matchMedia("(max-width: 900px)");

function markChosen() {
  const records = document.getElementById("run-records");
  if (!records) return;
  for (const row of document.querySelectorAll("#runs [data-job-id]")) {
    const isChosen = row.dataset.jobId === records.dataset.jobId;
    row.classList.toggle("selected", isChosen);
    if (isChosen) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }
}

document.addEventListener("htmx:afterSettle", (event) => {
  markChosen();
  const from = event.detail.requestConfig?.elt;
  if (from?.matches?.("a.run") && NARROW.matches) {
    document.getElementById("run-records")?.scrollIntoView();
  }
});

document.addEventListener("htmx:historyRestore", markChosen);

document.addEventListener("htmx:configRequest", ({ detail }) => {
  if (!detail.elt.matches("form[data-clean]")) return;
  for (const [name, value] of [...detail.formData.entries()]) {
    if (value === "") detail.formData.delete(name);
  }
});

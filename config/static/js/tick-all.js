// A bar over a list of checkboxes: tick all of the page, and say how many are ticked.

const bound = new WeakSet();

function bind(bar) {
  if (bound.has(bar)) return;
  bound.add(bar);
  const all = bar.querySelector("[data-tick]");
  const words = bar.querySelector("[data-ticked]");
  const form = bar.closest("form");
  const boxes = () => [...form.querySelectorAll(`input[name="${all.dataset.tick}"]`)];

  const say = () => {
    const count = boxes().filter((box) => box.checked).length;
    all.checked = count > 0 && count === boxes().length;
    all.indeterminate = count > 0 && count < boxes().length;
    words.textContent = count ? `${count} ticked` : "Tick all on this page";
  };

  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of boxes()) box.checked = all.checked;
    say();
  });
  form.addEventListener("change", say);
  say();
}

const bindAll = (root) => root.querySelectorAll("[data-tick-all]").forEach(bind);
bindAll(document);
document.addEventListener("htmx:load", (event) => bindAll(event.target));

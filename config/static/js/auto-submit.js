// A filter form (data-auto-submit) is sent as soon as a select changes, and a search when typing
// rests. Empty fields stay out of the address.
for (const form of document.querySelectorAll("form[data-auto-submit]")) {
  let timer = 0;
  const send = () => {
    const query = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (value) query.append(name, value);
    const text = query.toString();
    const url = text ? `${form.action}?${text}` : form.action;
    if (url !== location.href) location.assign(url);
  };
  form.addEventListener("submit", (event) => { event.preventDefault(); send(); });
  form.addEventListener("change", (event) => { if (event.target.matches("select")) send(); });
  form.addEventListener("input", (event) => {
    if (!event.target.matches("[type=search]")) return;
    clearTimeout(timer);
    sessionStorage.setItem("refocus", event.target.name);
    timer = setTimeout(send, 600);
  });
}
const refocus = sessionStorage.getItem("refocus");
sessionStorage.removeItem("refocus");
const field = refocus && document.querySelector(`form[data-auto-submit] [name="${CSS.escape(refocus)}"]`);
if (field) {
  field.focus();
  field.setSelectionRange?.(field.value.length, field.value.length);
}

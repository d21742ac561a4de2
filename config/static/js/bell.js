// The header's bell: how many notices are unread, without asking the server.
const MOST_SHOWN = 99;

/** As in jobs/templatetags/live.py. */
export function wordsOf(count) {
  if (!count) return "No unread notices";
  return `${shown(count)} unread notice${count === 1 ? "" : "s"}`;
}

function shown(count) {
  return count > MOST_SHOWN ? `${MOST_SHOWN}+` : String(count);
}

export function listen(bell) {
  const number = bell.querySelector("[data-bell-count]");
  const words = bell.querySelector("[data-bell-words]");
  const said = document.querySelector("[data-bell-said]");
  document.addEventListener("spindle:notices", ({ detail: { unread } }) => {
    const before = Number(bell.dataset.bell);
    const count = Math.min(unread, MOST_SHOWN + 1);
    if (count === before) return;
    bell.dataset.bell = count;
    bell.title = wordsOf(count);
    number.hidden = !count;
    number.textContent = shown(count);
    words.textContent = wordsOf(count);
    // Said once, and only when something came: reading is no news to the reader.
    said.textContent = count > before ? wordsOf(count) : "";
  });
  document.addEventListener("spindle:signed-out", () => {
    number.hidden = true;
    words.textContent = "Notices";
    bell.title = "";
  });
}

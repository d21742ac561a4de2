// Where the keyboard goes on when what had the focus was replaced.
const CONTROLS = "a[href], button:not(:disabled), select, input:not([type=hidden])";

/** Focus the first control in `place`; the page's main part where there is none. */
export function focusIn(place, preferred = "") {
  const control = (preferred && place?.querySelector(preferred)) || place?.querySelector(CONTROLS);
  (control ?? document.getElementById("main"))?.focus({ preventScroll: true });
}

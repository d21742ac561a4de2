// What every page has; one module a behaviour.
import "./theme-switch.js";
import "./menu.js";
import "./toast.js";
import "./submit.js";
import "./shortcuts.js";

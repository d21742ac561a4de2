// Elapsed times that tick: elements with data-ticks-from (epoch ms by the server's clock).
// The page carries the server's time in data-now, so a wrong browser clock changes nothing.
import { serverNow, tellServerTime } from "./clock.js";

const stamped = document.querySelector("[data-now]");
if (stamped) tellServerTime(Number(stamped.dataset.now));

function words(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  const two = (n) => String(n).padStart(2, "0");
  if (hours) return `${hours}h ${two(minutes)}m`;
  return minutes ? `${minutes}m ${two(whole % 60)}s` : `${whole}s`;
}

function tick() {
  if (document.hidden) return;
  const now = serverNow();
  for (const element of document.querySelectorAll("[data-ticks-from]")) {
    element.textContent = words((now - Number(element.dataset.ticksFrom)) / 1000);
  }
}

setInterval(tick, 1000);
document.addEventListener("visibilitychange", tick);

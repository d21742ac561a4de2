// What makes a signed-in page live: one socket, two indicators and the bell.
import { ActiveJobs } from "./active-jobs.js";
import { start } from "./action.js";
import { listen } from "./bell.js";
import { tellServerTime } from "./clock.js";
import { LiveSocket } from "./socket.js";

const root = document.querySelector("[data-active-jobs]");
if (root) {
  const state = JSON.parse(document.getElementById("active-jobs-state").textContent);
  tellServerTime(state.now);
  new ActiveJobs(root, state);
  const chip = document.querySelector("[data-active-action]");
  if (chip) start(chip, state);
  const bell = document.querySelector("[data-bell]");
  if (bell) listen(bell);
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  new LiveSocket(`${scheme}://${location.host}/ws/jobs`);
}

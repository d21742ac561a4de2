// A region that is read again now and then: as often as its own `data-seconds` says, not while the
// tab is hidden, at once when it is looked at again; grey, with the reason, after two failures.
const FAILURES_SHOWN = 2;

class PolitePoll {
  constructor(region) {
    this.region = region;
    this.failures = 0;
    this.trouble = document.querySelector("[data-poll-trouble]");
    this.announcer = document.querySelector("[data-poll-announce]");
    document.addEventListener("visibilitychange", () => (document.hidden ? this.stop() : this.poll()));
    if (!document.hidden) this.schedule();
  }

  get state() {
    return this.region.querySelector("[data-poll-state]");
  }

  schedule() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.poll(), Number(this.state?.dataset.seconds ?? 30) * 1000);
  }

  stop() {
    clearTimeout(this.timer);
  }

  async poll() {
    this.stop();
    try {
      const answer = await fetch(this.region.dataset.poll, {
        headers: { "HX-Request": "true" }, credentials: "same-origin", quiet: true,
      });
      if (answer.headers.get("HX-Redirect")) return window.location.assign(answer.headers.get("HX-Redirect"));
      if (!answer.ok) throw new Error(`the portal answered ${answer.status}`);
      this.show(await answer.text());
    } catch (error) {
      this.fail(error);
    }
    if (!document.hidden) this.schedule();
  }

  show(html) {
    const before = this.state?.dataset.summary ?? "";
    this.failures = 0;
    this.region.innerHTML = html;
    this.region.classList.remove("is-stale");
    this.trouble.hidden = true;
    const words = document.querySelector("[data-poll-words]");
    if (words) words.textContent = `updates every ${this.state.dataset.seconds} s`;
    const summary = this.state.dataset.summary.trim();
    if (summary && summary !== before.trim()) this.announcer.textContent = summary;
  }

  fail(error) {
    this.failures += 1;
    if (this.failures < FAILURES_SHOWN) return;
    this.region.classList.add("is-stale");
    const why = error instanceof TypeError ? "the portal does not answer" : error.message;
    this.trouble.textContent = `These numbers are of ${this.state?.dataset.at ?? "earlier"}: ${why}. Trying again.`;
    this.trouble.hidden = false;
  }
}

for (const region of document.querySelectorAll("[data-poll]")) new PolitePoll(region);

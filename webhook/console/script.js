// Refreshes the page in place. Without it the page works as well.
"use strict";
(() => {
  const live = document.getElementById("live");
  const button = document.getElementById("refreshing");
  const stale = document.getElementById("stale");
  const every = Number(live.dataset.refresh);
  if (!every) return;
  const address = new URL(location.pathname + location.search, location.origin);
  if (address.searchParams.has("did")) {
    // What was done is said once. The address is a relative one, for the page's own
    // may hold a name and a password, which must not change.
    address.searchParams.delete("did");
    address.searchParams.delete("n");
    history.replaceState(null, "", address.pathname + address.search);
  }
  let on = true;
  let timer = 0;
  const say = (text) => { button.textContent = text; };
  button.hidden = false;
  button.addEventListener("click", () => {
    on = !on;
    button.setAttribute("aria-pressed", String(on));
    say(on ? "Refreshes itself" : "Does not refresh");
  });
  // An old picture must not pass for a new one.
  const old = (why) => {
    live.classList.toggle("old", why !== "");
    stale.hidden = why === "";
    if (why === "") return;
    const at = live.querySelector(".stamp time").textContent;
    const text = `This is how it was at ${at} UTC. ${why}`;
    if (stale.textContent !== text) stale.textContent = text;
  };
  const refresh = async () => {
    const focused = live.contains(document.activeElement) ? document.activeElement : null;
    const busy = focused && focused.tagName === "INPUT" || String(getSelection()) !== "";
    if (!on || document.hidden) return;
    if (busy) {
      say("Waits until you are done");
      return;
    }
    let why = "The program does not answer.";
    try {
      const answer = await fetch(address, { cache: "no-store", signal: AbortSignal.timeout(2 * every) });
      const text = await answer.text();
      why = `The program answers with status ${answer.status}.`;
      const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("live");
      if (!fresh) throw new Error(why);
      const href = focused && focused.getAttribute("href");
      live.replaceChildren(...fresh.childNodes);
      if (href) {
        const same = [...live.querySelectorAll("a")].find((a) => a.getAttribute("href") === href);
        if (same) same.focus({ preventScroll: true });
      }
      say("Refreshes itself");
      old("");
    } catch {
      say("Cannot refresh");
      old(why);
    }
  };
  const next = async () => {
    await refresh();
    timer = setTimeout(next, every);
  };
  timer = setTimeout(next, every);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden || !timer) return;
    clearTimeout(timer);
    timer = 0; // until the one that begins now is over
    next();
  });
})();

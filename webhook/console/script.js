// Refreshes the page in place. Without it the page works as well.
"use strict";
(() => {
  const live = document.getElementById("live");
  const button = document.getElementById("refreshing");
  const every = Number(live.dataset.refresh);
  if (!every) return;
  const address = new URL(location.pathname + location.search, location.origin);
  if (address.searchParams.has("did")) {
    // What was done is said once.
    address.searchParams.delete("did");
    history.replaceState(null, "", address);
  }
  let on = true;
  const say = (text) => { button.textContent = text; };
  button.hidden = false;
  button.addEventListener("click", () => {
    on = !on;
    button.setAttribute("aria-pressed", String(on));
    say(on ? "Refreshes itself" : "Does not refresh");
  });
  const refresh = async () => {
    const focused = live.contains(document.activeElement) ? document.activeElement : null;
    const busy = focused && focused.tagName === "INPUT" || String(getSelection()) !== "";
    if (!on || document.hidden || busy) return;
    try {
      const answer = await fetch(address, { cache: "no-store" });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("live");
      if (!fresh) throw new Error(String(answer.status));
      const href = focused && focused.getAttribute("href");
      live.replaceChildren(...fresh.childNodes);
      if (href) {
        const same = [...live.querySelectorAll("a")].find((a) => a.getAttribute("href") === href);
        if (same) same.focus({ preventScroll: true });
      }
      say("Refreshes itself");
    } catch {
      say("Cannot refresh");
    }
  };
  const next = async () => {
    await refresh();
    setTimeout(next, every);
  };
  setTimeout(next, every);
})();

// The pages work without this script. The script takes over Airflow's theme, opens links that lead
// out of the frame in which Airflow's UI shows a plugin, and refreshes a page while a run is alive.
"use strict";

try {
  const theme = localStorage.getItem("theme"); // Airflow's UI stores it here
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch {
  // Without storage, the system's theme is used.
}

document.addEventListener("DOMContentLoaded", () => {
  if (document.querySelector("main[data-live]")) setTimeout(refresh, LIVE_MILLISECONDS);
});

const LIVE_MILLISECONDS = 5000;

// Replace the sections that changed, and no section that a person uses now: the focus, an opened
// table and the place in the page stay.
async function refresh() {
  if (document.visibilityState === "visible") {
    try {
      const response = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (response.ok) replaceSections(new DOMParser().parseFromString(await response.text(), "text/html"));
    } catch {
      // The server is not there now: the next look may find it.
    }
  }
  if (document.querySelector("main[data-live]")) setTimeout(refresh, LIVE_MILLISECONDS);
}

function replaceSections(fresh) {
  const main = document.querySelector("main");
  main.toggleAttribute("data-live", fresh.querySelector("main[data-live]") !== null);
  for (const part of fresh.querySelectorAll("main [data-part]")) {
    const old = main.querySelector(`[data-part="${part.dataset.part}"]`);
    if (!old || old.contains(document.activeElement) || old.innerHTML === part.innerHTML) continue;
    const open = [...old.querySelectorAll("details")].map((one) => one.open);
    const left = [...old.querySelectorAll(".wide")].map((one) => one.scrollLeft);
    old.replaceChildren(...part.childNodes);
    [...old.querySelectorAll("details")].forEach((one, place) => { one.open = open[place] ?? one.open; });
    [...old.querySelectorAll(".wide")].forEach((one, place) => { one.scrollLeft = left[place] ?? 0; });
  }
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-out]");
  if (link && window.parent !== window) {
    // The frame is not allowed to open a window or to leave. Airflow's own document is, and it has
    // the same origin as this page.
    event.preventDefault();
    const outside = window.parent.document.createElement("a");
    outside.href = link.href;
    outside.target = link.origin === location.origin ? "_self" : "_blank";
    outside.rel = "noreferrer";
    outside.click();
  }
});

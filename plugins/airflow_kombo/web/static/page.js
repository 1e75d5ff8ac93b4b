// The pages work without this script. The script takes over Airflow's theme, opens links that lead
// out of the frame in which Airflow's UI shows a plugin, refreshes a page while a run is alive, and
// shows that another page is on its way.
"use strict";

try {
  const theme = localStorage.getItem("theme"); // Airflow's UI stores it here
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch {
  // Without storage, the system's theme is used.
}

const LIVE_MILLISECONDS = 5000;
const NARROW = matchMedia("(max-width: 40rem)"); // as in page.css

document.addEventListener("DOMContentLoaded", () => {
  prepare(document);
  foldFilters();
  NARROW.addEventListener("change", foldFilters);
  if (document.querySelector("main[data-live]")) setTimeout(refresh, LIVE_MILLISECONDS);
});

function prepare(root) {
  showTimes(root);
  root.querySelectorAll("table.cards").forEach(keepRoles);
}

// A narrow screen shows each row of a table as a card. The roles keep the table a table for those
// who listen to the page.
function keepRoles(table) {
  const roles = {
    table: [table], rowgroup: table.querySelectorAll("thead, tbody"), row: table.rows,
    cell: table.querySelectorAll("td"), columnheader: table.querySelectorAll("thead th"),
    rowheader: table.querySelectorAll("tbody th"),
  };
  for (const [role, elements] of Object.entries(roles)) {
    for (const element of elements) element.setAttribute("role", role);
  }
}

// On a narrow screen the rows come before the filter's fields.
function foldFilters() {
  for (const filter of document.querySelectorAll("details[data-fold]")) filter.open = !NARROW.matches;
}

// Show that another page is on its way, until it is there.
function showLoading(isLoading) {
  document.documentElement.toggleAttribute("data-loading", isLoading);
  document.querySelector("main")?.setAttribute("aria-busy", isLoading);
}

addEventListener("pageshow", () => showLoading(false));
document.addEventListener("submit", (event) => {
  if (!event.target.hasAttribute("data-plan")) showLoading(true); // act.js has the plans
});

// Replace the sections that changed, and no section that a person uses now: the focus, an opened
// table and the place in the page stay.
async function refresh() {
  if (document.visibilityState === "visible") {
    let problem = "";
    try {
      const response = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (response.ok) replaceSections(new DOMParser().parseFromString(await response.text(), "text/html"));
      else problem = response.status === 401 ? "Your login has ended" : `The server answered ${response.status}`;
    } catch {
      problem = "The server does not answer";
    }
    const notice = document.querySelector("[data-stale]");
    if (notice) notice.textContent = problem && `${problem}, so what you see may be old. The page tries again by itself.`;
  }
  if (document.querySelector("main[data-live]")) setTimeout(refresh, LIVE_MILLISECONDS);
}

function replaceSections(fresh) {
  const main = document.querySelector("main");
  prepare(fresh); // before the comparison, so that the same times are the same
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
    return;
  }
  const inside = event.target.closest("a[href]:not([download], [data-out], [href^='#'])");
  const isPlain = event.button === 0 && !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
  if (inside && isPlain) showLoading(true);
});

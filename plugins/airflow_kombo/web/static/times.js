// Shows times in the reader's zone, with the time in UTC beside. Without this script they are in UTC.
"use strict";

// The zone that the reader chose in Airflow's UI, or else the browser's.
function readersZone() {
  try {
    const stored = (localStorage.getItem("timezone") ?? "").replaceAll('"', "");
    if (stored) return new Intl.DateTimeFormat("en", { timeZone: stored }).resolvedOptions().timeZone;
  } catch {
    // Without storage, or with a zone that the browser does not know, the browser's is used.
  }
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

// Returns date, time and name of the zone of a moment.
function partsOf(moment, timeZone, hasSeconds) {
  const format = new Intl.DateTimeFormat("en-GB", {
    timeZone, year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit",
    second: hasSeconds ? "2-digit" : undefined, hourCycle: "h23", timeZoneName: "short",
  });
  const parts = Object.fromEntries(format.formatToParts(moment).map((part) => [part.type, part.value]));
  const time = [parts.hour, parts.minute, parts.second].filter((part) => part !== undefined).join(":");
  return { date: `${parts.year}-${parts.month}-${parts.day}`, time, zone: parts.timeZoneName };
}

function showTimes(root) {
  const zone = readersZone();
  for (const element of root.querySelectorAll("time[datetime]:not(:has(.utc))")) {
    const moment = new Date(element.dateTime);
    if (Number.isNaN(moment.valueOf())) continue; // such as a 31st of February in a sentence
    const hasSeconds = element.dateTime.length > "2026-01-01T00:00Z".length;
    const here = partsOf(moment, zone, hasSeconds);
    const utc = partsOf(moment, "UTC", hasSeconds);
    if (here.date === utc.date && here.time === utc.time) continue;
    const beside = document.createElement("span");
    beside.className = "utc";
    beside.textContent = `(${here.date === utc.date ? "" : `${utc.date} `}${utc.time} UTC)`;
    element.replaceChildren(`${here.date} ${here.time} ${here.zone} `, beside);
  }
}

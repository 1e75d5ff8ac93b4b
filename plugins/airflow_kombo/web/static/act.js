// Starts the dag runs of a plan through Airflow's API, as the person who is logged in, and shows
// their progress and what became of the rows. Airflow checks the permissions and the parameters.
"use strict";

const API = new URL("../api/v2/", document.baseURI);
const PAUSE = 2000; // milliseconds between two looks at the runs
const ENDED = ["success", "failed"];

function say(element, text, link) {
  element.textContent = text;
  if (!link) return;
  const anchor = document.createElement("a");
  anchor.href = link.href;
  anchor.textContent = link.text;
  if (link.isOutside) anchor.dataset.out = "";
  element.append(" ", anchor);
}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(new URL(path, API), {
      credentials: "same-origin", redirect: "error", referrerPolicy: "same-origin", ...options,
    });
  } catch {
    return { status: 0, body: {} };
  }
  let body = {};
  try {
    body = await response.json();
  } catch {
    // A proxy's page is no JSON: the status is all there is.
  }
  return { status: response.status, body };
}

function words(detail) {
  if (typeof detail === "string") return detail;
  if (Array.isArray(detail)) return detail.map((one) => one.msg ?? "").join("; ");
  return detail?.reason ?? detail?.message ?? "";
}

function refusal(dag, { status, body }) {
  const detail = words(body.detail);
  if (status === 0) return "Airflow did not answer. Nothing is known of this run: look in Airflow before you try again.";
  if (status === 401) return "You are not logged in to Airflow any more. Log in, then open this plan again. Nothing was started.";
  if (status === 403) return `Your Airflow user may not start runs of ${dag}. Ask an Airflow administrator for the permission to trigger this dag. Nothing was started.`;
  if (status === 404) return `Airflow has no dag ${dag}, or your Airflow user may not see it. Nothing was started.`;
  if (status === 400 || status === 422) return `Airflow refuses this run: ${detail || "no reason given"}`;
  return `Airflow answered with ${status}${detail ? `: ${detail}` : ""}. Look in Airflow before you try again.`;
}

const pathOf = (dag) => `dags/${encodeURIComponent(dag)}`;

class Run {
  constructor(item) {
    this.item = item;
    this.dag = item.dataset.dag;
    this.id = item.dataset.run;
    this.ids = JSON.parse(item.dataset.ids);
    this.conf = JSON.parse(item.querySelector("[data-conf]").value);
    this.stateElement = item.querySelector("[data-state]");
    this.number = 1;
  }

  get runId() {
    return this.number === 1 ? this.id : `${this.id}__${this.number}`;
  }

  show(text) {
    const href = new URL(`../dags/${encodeURIComponent(this.dag)}/runs/${encodeURIComponent(this.runId)}`, document.baseURI).href;
    say(this.stateElement, text, this.state ? { href, text: "Open the run", isOutside: true } : null);
  }

  // A dag that does not know a parameter would ignore it, and perhaps send other rows.
  async isUnderstood() {
    const answer = await ask(`${pathOf(this.dag)}/details`);
    if (answer.status !== 200) return refusal(this.dag, answer);
    const params = Object.keys(answer.body.params ?? {});
    const missing = Object.keys(this.conf).filter((name) => !params.includes(name));
    if (missing.length) return `The dag ${this.dag} has no parameter ${missing.join(", ")}. Nothing was started.`;
    this.isPaused = answer.body.is_paused;
    return null;
  }

  async start(reason, decides) {
    const conf = decides && reason ? { ...this.conf, reason } : this.conf;
    const body = { dag_run_id: this.runId, logical_date: null, conf, note: reason || null };
    const answer = await ask(`${pathOf(this.dag)}/dagRuns`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    // 409: the run exists. After no answer, or an error of the server, perhaps, too.
    if (answer.status === 409 || answer.status === 0 || answer.status >= 500) {
      this.existed = true;
      await this.look();
      return this.state || answer.status === 409 ? null : refusal(this.dag, answer);
    }
    if (answer.status !== 200 && answer.status !== 201) return refusal(this.dag, answer);
    this.existed = false;
    this.state = answer.body.state ?? "queued";
    this.show(this.state);
    return null;
  }

  async look() {
    const answer = await ask(`${pathOf(this.dag)}/dagRuns/${encodeURIComponent(this.runId)}`);
    if (answer.status !== 200) {
      this.stateElement.textContent = `Its progress cannot be read (${answer.status || "no answer"}).`;
      this.isLost = answer.status !== 0 && answer.status < 500;
      return;
    }
    this.isLost = false;
    this.state = answer.body.state;
    this.by = answer.body.triggering_user_name;
    const before = this.existed ? `This plan was confirmed before${this.by ? `, by ${this.by}` : ""}: ` : "";
    const waits = this.isPaused && this.state === "queued" ? ". The dag is paused: the run waits until somebody unpauses it" : "";
    this.show(`${before}${this.state}${waits}.`);
  }

  get hasEnded() {
    return this.isLost || ENDED.includes(this.state);
  }
}

async function outcome(form, runs) {
  const element = form.querySelector("[data-outcome]");
  const started = runs.filter((run) => run.state);
  if (!started.length) return;
  const body = {
    action: form.dataset.plan,
    dag_run_ids: started.map((run) => run.runId),
    result_ids: [...new Set(started.flatMap((run) => run.ids))],
  };
  const answer = await ask(new URL("outcome", document.baseURI), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const sentences = answer.status === 200 ? answer.body : [{ text: "What became of the rows cannot be read now. Open the runs in Airflow." }];
  const failed = started.filter((run) => run.state === "failed").length;
  if (failed) sentences.unshift({ text: `${failed} of ${started.length} runs failed: open them in Airflow for the reason.` });
  for (const { text, address } of sentences) {
    const line = document.createElement("p");
    say(line, text, address ? { href: address, text: "Show each row" } : null);
    element.append(line);
  }
}

function offerAnother(form, runs) {
  const ended = runs.filter((run) => run.existed && ENDED.includes(run.state));
  if (!ended.length) return;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Start another run";
  button.addEventListener("click", () => {
    button.remove();
    for (const run of ended) run.number += 1;
    carryOut(form, ended);
  });
  form.querySelector("[data-outcome]").append(button);
}

async function follow(runs) {
  while (runs.some((run) => run.state && !run.hasEnded)) {
    await new Promise((done) => setTimeout(done, PAUSE));
    for (const run of runs.filter((one) => one.state && !one.hasEnded)) await run.look();
  }
}

async function carryOut(form, runs) {
  const reason = form.elements.reason?.value.trim() ?? "";
  form.querySelector("[data-outcome]").replaceChildren();
  for (const run of runs) {
    const problem = (await run.isUnderstood()) ?? (await run.start(reason, form.dataset.decides === "yes"));
    if (problem) {
      run.stateElement.textContent = problem;
      run.stateElement.classList.add("bad");
      break; // what keeps one run from its start keeps the others, too
    }
  }
  await follow(runs);
  await outcome(form, runs);
  offerAnother(form, runs);
  form.dataset.done = "yes";
}

document.addEventListener("submit", (event) => {
  const form = event.target.closest("[data-plan]");
  if (!form) return;
  event.preventDefault();
  const button = form.querySelector("[data-confirm]");
  if (!button || button.disabled) return;
  button.disabled = true;
  if (form.elements.reason) form.elements.reason.readOnly = true;
  carryOut(form, [...form.querySelectorAll("[data-run]")].map((item) => new Run(item)));
});

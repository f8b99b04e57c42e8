// Builds: start one, watch it, stop it, and what the last ones did.

import { ApiError, events, get, post, remove } from "../api.js";
import { duration, fill, h, number, plural, put, say, when } from "../dom.js";
import { badge, card, table } from "../parts.js";

const KINDS = { queued: "", running: "busy", succeeded: "good", failed: "bad", cancelled: "warn", interrupted: "warn" };
const AGAIN = 2000; // milliseconds before we ask again for a stream that broke

export async function render(body, params, signal) {
  const [{ items }, prepared] = await Promise.all([
    get("/api/jobs", { limit: 10 }, signal),
    get("/api/ai/data/prepare", {}, signal),
  ]);
  const watched = h("div", {});
  const past = h("div", {});
  const follow = (job) => watch(job, watched, past, signal);
  fill(body, starters(prepared.formats, follow), watched, past);
  drawPast(past, items);
  const asked = params.get("job") && items.find((job) => job.id === params.get("job"));
  const open = asked ?? items.findLast((job) => job.state === "running") ?? items.find((job) => job.state === "queued");
  if (open) follow(open);
}

// --- starting -------------------------------------------------------------------------------------------------

function starters(formats, follow) {
  const said = h("div", { role: "status" });
  const force = h("input", { type: "checkbox", id: "force" });
  const format = h("select", { id: "format" },
    h("option", { value: "all" }, "all formats of params.yaml"),
    Object.entries(formats).filter(([, one]) => one.selected).map(([name, one]) =>
      h("option", { value: name }, `${name}${one.stale || !one.exists ? " (to build)" : ""}`)));
  const buttons = [
    start("Build everything", "main", () => ["/api/ai/data/build", {}]),
    start("Merge", "", () => ["/api/ai/data/merge", {}]),
  ];
  const prepare = start("Prepare", "", () => ["/api/ai/data/prepare", { format: format.value }]);

  function start(text, kind, what) {
    return h("button", { type: "button", class: `button ${kind}`, onclick: async (event) => {
      const [path, body] = what();
      if (force.checked && !window.confirm("Run the stages again although nothing changed, and write their results anew?")) return;
      event.target.disabled = true;
      try {
        const answer = await post(path, force.checked ? { ...body, force: true } : body);
        fill(said);
        if (answer.status === 202) follow(answer.body);
        else tell(said, "good", "Up to date: there was nothing to do.");
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        tell(said, "bad", error.message);
      } finally {
        event.target.disabled = false;
      }
    } }, text);
  }

  return card(null,
    h("div", { class: "actions" }, buttons,
      h("div", { class: "field inline" }, h("label", { for: "format" }, "Format"), format, prepare),
      h("label", { class: "check" }, force, h("span", {}, "Force: run again although nothing changed"))),
    said);
}

function tell(place, kind, text) {
  fill(place, h("p", { class: `notice ${kind}` }, text));
}

// --- watching -------------------------------------------------------------------------------------------------

let following = new AbortController();

async function watch(job, place, past, signal) {
  following.abort();
  following = new AbortController();
  const either = AbortSignal.any([signal, following.signal]);
  const screen = drawing(job);
  fill(place, screen.card);
  screen.card.scrollIntoView({ block: "nearest" });
  let last = null;
  while (!either.aborted) {
    try {
      for await (const { event, data, id } of events(job.events, last, either)) {
        last = id ?? last;
        screen.take(event, data);
        if (event === "end") {
          await ended(data, past, signal);
          return;
        }
      }
    } catch (error) {
      if (either.aborted) return;
      if (error.status === 404 || error.status === 401) {
        screen.say(error.message);
        return;
      }
      screen.say("The server does not answer; asking again …");
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN));
  }
}

async function ended(job, past, signal) {
  say(`${job.target}: ${job.state}`);
  const { items } = await get("/api/jobs", { limit: 10 }, signal);
  drawPast(past, items);
  const status = await get("/api/status", {}, signal);
  window.dispatchEvent(new CustomEvent("mhdata-status", { detail: status }));
}

function drawing(job) {
  const state = h("span", {}, badge(job.state, KINDS[job.state]));
  const bar = h("progress", { max: 1, "aria-label": `Progress of ${job.target}` });
  const now = h("p", { class: "now" }, "Waiting for the first stage …");
  const eta = h("p", { class: "quiet small" });
  const log = h("ol", { class: "log", tabindex: "0", "aria-label": "What happened" });
  const outcome = h("div", { role: "status" });
  const cancel = h("button", { type: "button", class: "button", id: "cancel", onclick: async () => {
    cancel.disabled = true;
    try {
      await remove(job.url);
    } catch (error) {
      fill(now, error.message);
    }
  } }, "Cancel");
  let skipped = 0;
  const skippedLine = h("li", { class: "quiet" });

  const wrote = (kind, ...content) => {
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    log.append(h("li", { class: kind }, content));
    while (log.children.length > 500) log.firstChild.remove();
    if (atEnd) log.scrollTop = log.scrollHeight;
  };
  const moved = (position, total) => {
    bar.max = total;
    bar.value = position;
  };

  const takes = {
    state: (data) => {
      fill(state, badge(data.cancelling ? "cancelling" : data.state, data.cancelling ? "warn" : KINDS[data.state]));
      if (data.state === "queued") fill(now, "Queued: it starts when the build before it has ended.");
      if (data.cancelling) fill(now, "Stopping; what is finished stays.");
    },
    started: (data) => {
      moved(0, data.total);
      window.dispatchEvent(new CustomEvent("mhdata-status", { detail: { building: data, stages: [] } }));
    },
    waiting: (data) => fill(now, `Waiting for another build: ${data.holder}.`),
    stage_started: (data) => {
      moved(data.position - 1, data.total);
      fill(now, h("strong", {}, data.stage), ` · stage ${number(data.position)} of ${number(data.total)}`);
      fill(eta, remaining(data.eta_seconds));
    },
    stage_progress: (data) => {
      fill(now, h("strong", {}, data.stage), ` · ${duration(data.seconds)} · ${data.mb_per_s.toFixed(1)} MB/s written`);
      fill(eta, remaining(data.eta_seconds));
    },
    stage_finished: (data) => {
      bar.value = Math.min(bar.max, bar.value + 1);
      wrote("done", h("strong", {}, data.stage), ` done in ${duration(data.seconds)}`, data.rows === null ? null : `, ${number(data.rows)} rows`, data.mb_per_s >= 0.1 ? `, ${data.mb_per_s.toFixed(1)} MB/s` : null);
    },
    stage_skipped: (data) => {
      moved(data.position, data.total);
      skipped += 1;
      if (!skippedLine.isConnected) log.prepend(skippedLine);
      skippedLine.textContent = `${plural(skipped, "stage")} unchanged or out of the cache`;
    },
    said: (data) => wrote("said", data.stage ? `${data.stage}: ` : "", data.text),
    end: (data) => {
      fill(state, badge(data.state, KINDS[data.state]));
      cancel.hidden = true;
      bar.hidden = true;
      fill(eta);
      fill(now);
      fill(outcome, result(data));
    },
  };

  return {
    card: card(null,
      h("div", { class: "row" }, h("h2", {}, job.target, job.force ? " (forced)" : ""), state, cancel),
      bar, now, eta, outcome, log),
    take: (event, data) => takes[event]?.(data),
    say: (text) => fill(eta, text),
  };
}

function remaining(seconds) {
  return seconds === null || seconds === undefined ? "How long it takes is known after the first build." : `At most ${duration(seconds)} more.`;
}

function result(job) {
  if (job.state === "succeeded") {
    const { ran, restored, skipped, seconds } = job.outcome;
    return h("p", { class: "notice good" }, h("strong", {}, "Done"), ` in ${duration(seconds)}: ${plural(ran.length, "stage")} ran, ${number(restored.length)} came out of the cache, ${number(skipped)} had nothing to do. `,
      h("a", { href: "#/" }, "Overview"), " · ", h("a", { href: "#/downloads" }, "Downloads"));
  }
  return put(h("p", { class: `notice ${KINDS[job.state]}` }), h("strong", {}, job.state), job.error?.stage ? ` in ${job.error.stage}` : null, `: ${job.error?.detail ?? ""}`);
}

// --- the last ones --------------------------------------------------------------------------------------------

function drawPast(place, jobs) {
  fill(place, card("Last builds", jobs.length ? table("Last builds", [
    ["Asked for", (job) => [job.target, job.force ? " (forced)" : ""]],
    ["State", (job) => badge(job.state, KINDS[job.state])],
    ["When", (job) => when(new Date(job.created).toLocaleString("sv"))],
    ["Outcome", (job) => job.outcome ? `${number(job.outcome.ran.length)} ran, ${number(job.outcome.restored.length)} from the cache, ${duration(job.outcome.seconds)}` : (job.error?.detail ?? "")],
  ], jobs) : h("p", { class: "quiet" }, "No build has been asked for here.")));
}

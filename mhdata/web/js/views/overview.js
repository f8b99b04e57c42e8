// What is built and what is stale.

import { get } from "../api.js";
import { bytes, fill, h, number, s, say, when, words } from "../dom.js";
import { badge, card } from "../parts.js";

const STATES = {
  built: ["✓", "built", "up to date"],
  stale: ["●", "stale", "something it reads has changed: it runs in the next build"],
  behind: ["◐", "behind", "something before it is stale: it runs if that changes"],
  missing: ["○", "missing", "an output is not there"],
  unknown: ["…", "unknown", "a build runs: ask again when it has ended"],
};

export async function render(body, params, signal) {
  fill(body, h("p", { class: "quiet" }, "Asking DVC what is stale …"));
  const status = await get("/api/status", {}, signal);
  window.dispatchEvent(new CustomEvent("mhdata-status", { detail: status }));
  const stages = ranked(status.stages);
  fill(body, banner(status), cards(status), graph(stages), versions(status));
  const wide = new ResizeObserver(() => connect(body));
  wide.observe(body);
  signal.addEventListener("abort", () => wide.disconnect());
}

function banner(status) {
  const counts = new Map();
  for (const { state } of status.stages) counts.set(state, (counts.get(state) ?? 0) + 1);
  const said = Object.keys(STATES).filter((state) => counts.has(state)).map((state) => `${number(counts.get(state))} ${state}`);
  const text = status.building ? `A build works here: ${status.building.target}, since ${when(status.building.since)}.`
    : status.up_to_date ? "Everything is up to date." : "Something has changed since the last build.";
  return h("div", { class: `notice ${status.up_to_date ? "good" : "warn"}` },
    h("p", {}, h("strong", {}, text), ` Stages: ${said.join(", ")}.`),
    status.up_to_date ? null : h("p", {}, h("a", { class: "button main", href: "#/build" }, status.building ? "Watch the build" : "Build")));
}

function cards(status) {
  const { merged } = status;
  const formats = Object.entries(status.formats);
  const chosen = formats.filter(([, format]) => format.selected);
  const ready = chosen.filter(([, format]) => format.exists && !format.stale);
  return h("div", { class: "tiles" },
    tile("Merged rows", number(merged.rows), merged.exists ? [badge(merged.stale ? "stale" : "built", merged.stale ? "warn" : "good"), ` ${bytes(merged.bytes)}, ${when(merged.when)}`] : "not built"),
    tile("Exports ready", `${ready.length} of ${chosen.length}`, h("a", { href: "#/downloads" }, "Downloads")),
    tile("Origin", status.origin, "where the upstream files come from"),
    tile("Licence profile", status.profile, "which licences may enter"));
}

function tile(title, value, note) {
  return h("section", { class: "tile" }, h("h2", {}, title), h("p", { class: "big" }, value), h("p", { class: "quiet small" }, note));
}

// --- the graph ------------------------------------------------------------------------------------------------

/** Stages with their rank: one more than the last of those they read. */
function ranked(stages) {
  const known = new Map(stages.map((stage) => [stage.stage, { ...stage, feeds: [] }]));
  const rank = (stage) => {
    stage.rank ??= stage.reads.length ? 1 + Math.max(...stage.reads.map((name) => rank(known.get(name)))) : 0;
    return stage.rank;
  };
  for (const stage of known.values()) {
    rank(stage);
    for (const name of stage.reads) known.get(name).feeds.push(stage.stage);
  }
  for (const stage of known.values()) stage.drawn = stage.reads.filter((name) => !around(stage, name, known));
  return known;
}

/** Whether another stage that `stage` reads depends on `name`, so that a line to it would say nothing new. */
function around(stage, name, known) {
  const before = (other) => other.reads.some((read) => read === name || before(known.get(read)));
  return stage.reads.some((read) => read !== name && known.get(read).rank > known.get(name).rank && before(known.get(read)));
}

function graph(stages) {
  const columns = [];
  for (const stage of stages.values()) (columns[stage.rank] ??= []).push(stage);
  const detail = h("div", { class: "detail", id: "stage-detail", role: "status" }, h("p", { class: "quiet" }, "Choose a stage to see what it does and why it would run."));
  const legend = h("ul", { class: "legend" }, Object.values(STATES).map(([mark, name, meaning]) =>
    h("li", {}, h("span", { class: `mark ${name}`, "aria-hidden": "true" }, mark), ` ${name}: ${meaning}`)));
  return card("Stages", detail,
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Stage graph" },
      h("div", { class: "graph" }, s("svg", { class: "edges", "aria-hidden": "true" }),
        columns.map((column) => h("div", { class: "rank" }, kinds(column).map(([kind, members]) => h("section", { class: "kind" },
          kind ? h("h3", {}, kind) : null, h("ul", {}, members.map(([stage, short]) => h("li", {}, chip(stage, short, detail)))))))))),
    legend);
}

/** The stages of a column by the word that their names begin with: [word, [[stage, rest of the name]]]. */
function kinds(column) {
  const found = new Map();
  for (const stage of column) {
    const [, kind, rest] = stage.stage.match(/^(.+)@(.+)$/) ?? stage.stage.match(/^([^_]+)_(.+)$/) ?? [null, "", stage.stage];
    found.set(kind, [...(found.get(kind) ?? []), [stage, rest]]);
  }
  return [...found];
}

function chip(stage, short, detail) {
  const [mark, name] = STATES[stage.state];
  const button = h("button", { type: "button", class: `stage ${name}`, "data-stage": stage.stage, "aria-controls": "stage-detail", "aria-label": `${stage.stage}: ${name}` },
    h("span", { class: `mark ${name}`, "aria-hidden": "true" }, mark), h("span", {}, short));
  const light = (on) => {
    const near = new Set([stage.stage, ...stage.reads, ...stage.feeds]);
    const whole = button.closest(".graph");
    whole.classList.toggle("lit", on);
    for (const other of whole.querySelectorAll(".stage")) other.classList.toggle("near", on && near.has(other.dataset.stage));
    for (const edge of whole.querySelectorAll(".edge")) edge.classList.toggle("near", on && (edge.dataset.from === stage.stage || edge.dataset.to === stage.stage));
  };
  button.addEventListener("mouseenter", () => light(true));
  button.addEventListener("mouseleave", () => light(false));
  button.addEventListener("focus", () => light(true));
  button.addEventListener("blur", () => light(false));
  button.addEventListener("click", () => describe(stage, detail));
  button.dataset.drawn = JSON.stringify(stage.drawn);
  return button;
}

function describe(stage, detail) {
  const [mark, name, meaning] = STATES[stage.state];
  fill(detail,
    h("h3", {}, h("span", { class: `mark ${name}`, "aria-hidden": "true" }, mark), ` ${stage.stage}`),
    h("p", {}, `${stage.description}. `, h("strong", {}, name), `: ${meaning}.`),
    stage.why.length ? [h("p", {}, "Why:"), h("ul", {}, stage.why.map((one) => h("li", {}, words(one))))] : null,
    h("p", { class: "small" }, `Reads ${stage.reads.join(", ") || "no stage"}. Read by ${stage.feeds.join(", ") || "no stage"}.`));
  say(`${stage.stage}: ${name}`);
}

/** Draw the lines between the stages where they stand now. */
function connect(body) {
  const whole = body.querySelector(".graph");
  const drawing = whole?.querySelector(".edges");
  if (!drawing) return;
  drawing.replaceChildren();
  const origin = whole.getBoundingClientRect();
  drawing.setAttribute("width", whole.scrollWidth);
  drawing.setAttribute("height", whole.scrollHeight);
  const boxes = new Map([...whole.querySelectorAll(".stage")].map((one) => [one.dataset.stage, one.getBoundingClientRect()]));
  for (const one of whole.querySelectorAll(".stage")) {
    const to = boxes.get(one.dataset.stage);
    for (const name of JSON.parse(one.dataset.drawn)) {
      const from = boxes.get(name);
      const [x0, y0] = [from.right - origin.left, from.top + from.height / 2 - origin.top];
      const [x1, y1] = [to.left - origin.left, to.top + to.height / 2 - origin.top];
      const middle = x1 - Math.min(24, (x1 - x0) / 2);
      drawing.append(s("path", { class: "edge", "data-from": name, "data-to": one.dataset.stage, d: `M${x0} ${y0}C${middle} ${y0} ${middle} ${y1} ${x1} ${y1}` }));
    }
  }
}

function versions(status) {
  return h("details", { class: "card" }, h("summary", {}, "Versions and folder"),
    h("p", { class: "small" }, status.root),
    h("dl", { class: "facts" }, Object.entries(status.versions).map(([name, version]) => [h("dt", {}, name), h("dd", {}, version)])));
}

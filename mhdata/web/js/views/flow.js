// Rows from each source to the exports: a Sankey diagram, a waterfall, and the same numbers as a table.

import { get } from "../api.js";
import { sankey, waterfall } from "../charts.js";
import { fill, h, number, words } from "../dom.js";
import { card, choice, table } from "../parts.js";

const sum = (counts) => Object.values(counts).reduce((total, rows) => total + rows, 0);

export async function render(body, params, signal) {
  const { sources, exports } = await get("/api/browse/flow", {}, signal);
  const full = sources.filter((one) => one.upstream);
  if (!full.length) {
    fill(body, h("p", { class: "notice" }, "No source has a row yet: put files under data/, or switch the sample on, and build."));
    return;
  }
  const chosen = full.find((one) => one.source === params.get("source"));
  const shown = chosen ? [chosen] : full;
  const pick = choice("source", "Source", full.map((one) => [one.source, `${one.source} (${number(one.upstream)})`]), chosen?.source);
  pick.lastChild.addEventListener("change", (event) => {
    location.hash = event.target.value ? `#/flow?source=${event.target.value}` : "#/flow";
  });
  fill(body,
    h("p", { class: "quiet" }, "By the last report. Every upstream row is accounted for: it stays, or it left for a reason that is named."),
    h("div", { class: "filters" }, pick),
    card("From upstream to the sides of the split", diagram(shown)),
    h("div", { class: "columns" }, card("Waterfall", steps(shown)), card("Into the exports", entering(shown, exports))),
    card("All numbers", accounts(shown)));
}

function diagram(sources) {
  const reasons = new Map(); // node -> { title, kind, rows }
  const links = [];
  const leave = (source, key, title, kind, rows) => {
    const node = reasons.get(key) ?? { key, title, kind, rows: 0 };
    node.rows += rows;
    reasons.set(key, node);
    links.push({ from: source, to: key, rows, kind });
  };
  for (const one of sources) {
    links.push({ from: one.source, to: "merged", rows: one.merged, kind: "kept" });
    for (const [method, rows] of Object.entries(one.duplicates)) leave(one.source, `d ${method}`, `duplicate: ${method}`, "duplicate", rows);
    for (const [reason, rows] of Object.entries(one.rejected)) leave(one.source, `r ${reason}`, words(reason), "rejected", rows);
    for (const [reason, rows] of Object.entries(one.dropped)) leave(one.source, `p ${reason}`, `dropped: ${words(reason)}`, "dropped", rows);
  }
  const sides = new Map();
  for (const one of sources) {
    for (const [side, rows] of Object.entries(one.sides)) sides.set(side, (sides.get(side) ?? 0) + rows);
  }
  const order = ["duplicate", "rejected", "dropped"];
  const left = [...reasons.values()].sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind) || b.rows - a.rows);
  const columns = [
    sources.map((one) => ({ key: one.source, title: one.source, kind: "source" })),
    [{ key: "merged", title: "merged", kind: "kept" }, ...left],
    [...sides.keys()].map((side) => ({ key: `s ${side}`, title: words(side), kind: "side" })),
  ];
  for (const [side, rows] of sides) links.push({ from: "merged", to: `s ${side}`, rows, kind: "kept" });
  const place = new Map(columns[1].map((node, at) => [node.key, at]));
  const ordered = links.sort((a, b) => (place.get(a.to) ?? 0) - (place.get(b.to) ?? 0));
  const height = Math.max(340, 24 * Math.max(sources.length, columns[1].length) + 180);
  return sankey("Rows from each source to the sides of the split", sides.size ? columns : columns.slice(0, 2), ordered, { height });
}

function added(sources, field) {
  const all = new Map();
  for (const one of sources) {
    for (const [name, rows] of Object.entries(one[field])) all.set(name, (all.get(name) ?? 0) + rows);
  }
  return [...all].sort((a, b) => b[1] - a[1]);
}

function steps(sources) {
  const whole = sources.reduce((total, one) => total + one.upstream, 0);
  const merged = sources.reduce((total, one) => total + one.merged, 0);
  const only = sources.length === 1 ? `&source=${sources[0].source}` : "";
  return waterfall("Rows by step", [
    { title: "upstream", rows: whole, kind: "total" },
    ...added(sources, "rejected").map(([reason, rows]) => ({ title: words(reason), rows, kind: "rejected", href: `#/left?stage=normalize&reason=${encodeURIComponent(reason)}${only}` })),
    ...added(sources, "dropped").map(([reason, rows]) => ({ title: `dropped: ${words(reason)}`, rows, kind: "dropped", href: `#/left?stage=merge&reason=${encodeURIComponent(reason)}${only}` })),
    ...added(sources, "duplicates").map(([method, rows]) => ({ title: `duplicate: ${method}`, rows, kind: "duplicate", href: `#/duplicates?${only.slice(1)}` })),
    { title: "merged", rows: merged, kind: "total" },
    ...added(sources, "sides").map(([side, rows]) => ({ title: words(side), rows, kind: "part", href: `#/rows?side=${side}${only}` })),
  ], whole);
}

function entering(sources, exports) {
  const merged = sources.reduce((total, one) => total + one.merged, 0);
  const rows = exports.map((name) => {
    const left = new Map();
    let entered = 0;
    for (const one of sources) {
      entered += one.exports[name]?.entered ?? 0;
      for (const [reason, count] of Object.entries(one.exports[name]?.left ?? {})) left.set(reason, (left.get(reason) ?? 0) + count);
    }
    return { name, entered, left: [...left].sort((a, b) => b[1] - a[1]) };
  });
  if (!rows.length) return h("p", { class: "quiet" }, "No export has been made.");
  const meter = (row) => h("span", { class: "track" }, bar(row.entered, merged));
  return table("Rows that enter each export", [
    ["Format", (row) => row.name],
    ["Enter", (row) => number(row.entered), "num"],
    ["Of all", (row) => meter(row)],
    ["Stay out, by reason", (row) => row.left.map(([reason, count]) => h("div", { class: "small" }, `${words(reason)}: ${number(count)}`))],
  ], rows);
}

function bar(part, whole) {
  const drawn = h("span", { class: "bar kept" });
  drawn.style.width = `${(100 * part) / Math.max(1, whole)}%`;
  return drawn;
}

function accounts(sources) {
  return table("Rows by source", [
    ["Source", (one) => h("a", { href: `#/flow?source=${one.source}` }, one.source)],
    ["Upstream", (one) => number(one.upstream), "num"],
    ["Rejected", (one) => number(sum(one.rejected)), "num"],
    ["Dropped", (one) => number(sum(one.dropped)), "num"],
    ["Duplicates", (one) => number(sum(one.duplicates)), "num"],
    ["Merged", (one) => number(one.merged), "num"],
    ["Sides", (one) => Object.entries(one.sides).map(([side, rows]) => `${words(side)} ${number(rows)}`).join(", ")],
  ], sources);
}

// What the merged table holds: sources, types, tags, licences, sides, lengths, and what the screens found.

import { get } from "../api.js";
import { histogram } from "../charts.js";
import { fill, h, number, words } from "../dom.js";
import { bars, card, table } from "../parts.js";

export async function render(body, params, signal) {
  fill(body, h("p", { class: "quiet" }, "Counting; the first time after a build this reads every text …"));
  const found = await get("/api/browse/distributions", {}, signal);
  const counted = (counts, filter) => Object.entries(counts).filter(([, rows]) => rows)
    .map(([name, rows]) => [name, rows, filter ? `#/rows?${filter}=${encodeURIComponent(name)}` : null]);
  fill(body,
    h("p", { class: "lead" }, `${number(found.rows)} merged rows.`),
    h("div", { class: "masonry" },
      card("Sources", bars("Rows by source", counted(found.sources, "source"), found.rows)),
      card("Tags", bars("Rows by tag", counted(found.tags, "tag"), found.rows)),
      card("Types", bars("Rows by type", counted(found.types, "type"), found.rows)),
      card("Sides of the split", bars("Rows by side", counted(found.sides, "side"), found.rows)),
      card("Licences", bars("Rows by licence", counted(found.licenses), found.rows)),
      Object.entries(found.lengths).map(([name, lengths]) => card(`Length of ${words(name)}`, length(name, lengths)))),
    card("What the screens found", h("p", { class: "quiet" }, "In all records that were screened, before duplicates and policy."),
      h("div", { class: "columns inner" }, Object.entries(found.screens).filter(([, counts]) => Object.keys(counts).length)
        .map(([name, counts]) => h("section", {}, h("h3", {}, name), bars(`Findings of ${name}`, counted(counts).map(([kind, rows]) => [kind.replace("=", ": "), rows]), 0, { most: 8, kind: "found" }))))));
}

function length(name, lengths) {
  const tops = Object.keys(lengths.histogram).map(Number);
  const counts = [];
  for (let top = Math.min(...tops); top <= Math.max(...tops); top *= 2) counts.push([top, lengths.histogram[top] ?? 0]);
  return [
    histogram(`Characters of ${words(name)}, by powers of two`, counts.map(([top, rows]) => [compact(top), rows])),
    table(`Quantiles of the length of ${words(name)}`, [
      ["Half up to", () => number(lengths.p50), "num"],
      ["90 % up to", () => number(lengths.p90), "num"],
      ["99 % up to", () => number(lengths.p99), "num"],
      ["Longest", () => number(lengths.longest), "num"],
    ], [lengths]),
    h("p", { class: "quiet small" }, "Characters; a column counts the texts that are longer than the number before it, up to its own."),
  ];
}

function compact(value) {
  return value >= 1024 ? `${value / 1024}k` : String(value);
}

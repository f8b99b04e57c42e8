// The merged table: search, filters, pages.

import { get } from "../api.js";
import { fill, h, number } from "../dom.js";
import { choice, field, filters, labels, pages, rowLink, table, texts } from "../parts.js";

const NAMES = ["text", "source", "type", "tag", "side", "cluster"];
let known = null; // the choices; asked for once

export async function render(body, params, signal) {
  const query = Object.fromEntries(NAMES.map((name) => [name, params.get(name) ?? ""]));
  const form = h("div", {}, controls(query, known));
  fill(body, form);
  if (!known) choices(signal).then((found) => {
    known = found;
    if (!signal.aborted && !form.contains(document.activeElement)) fill(form, controls(query, known));
  }, () => {}); // without choices one can still search
  await pages(body, {
    path: "/api/browse/rows", query, limit: 25, empty: "No row meets these conditions.",
    draw: (rows) => table("Merged rows", [
      ["Row", (row) => [rowLink(row.id), h("span", { class: "quiet small" }, `no. ${number(row.number + 1)}`)], "narrow"],
      ["Source", (row) => [h("div", {}, row.source), h("div", { class: "quiet small" }, row.type), h("div", { class: "quiet small" }, row.side ?? "on no side")], "narrow"],
      ["Texts", (row) => texts(row, query.text), "main"],
      ["Tags and findings", (row) => [labels(row.tags, row.findings),
        row.duplicates ? h("div", { class: "small" }, `stands for ${number(row.duplicates)} more`) : null,
        row.cluster ? h("div", { class: "small" }, h("a", { href: `#/rows?cluster=${row.cluster}` }, "near-duplicates")) : null], "tags"],
    ], rows),
  }, signal);
}

async function choices(signal) {
  const found = await get("/api/browse/distributions", {}, signal);
  const listed = (counts) => Object.entries(counts).filter(([, count]) => count).map(([name, count]) => [name, `${name} (${number(count)})`]);
  return { source: listed(found.sources), type: listed(found.types), tag: listed(found.tags), side: listed(found.sides) };
}

function controls(query, options) {
  return filters("rows", [
    field("text", "Search the texts", query.text, "words, or the start of an id"),
    choice("source", "Source", options?.source ?? [], query.source),
    choice("type", "Type", options?.type ?? [], query.type),
    choice("tag", "Tag", options?.tag ?? [], query.tag),
    choice("side", "Side", options?.side ?? [], query.side),
    query.cluster ? choice("cluster", "Near-duplicates of", [[query.cluster, query.cluster.slice(0, 10)]], query.cluster) : null,
  ]);
}

// Rows that left: quarantined by normalize, or dropped by merge, each with its reason.

import { get } from "../api.js";
import { fill, h, number, words } from "../dom.js";
import { badge, choice, field, filters, pages, raw, rowLink, table } from "../parts.js";
import { veiled } from "../veil.js";

export async function render(body, params, signal) {
  const stage = params.get("stage") === "merge" ? "merge" : "normalize";
  const query = { source: params.get("source") ?? "", reason: params.get("reason") ?? "", text: params.get("text") ?? "" };
  const tabs = h("ul", { class: "tabs" },
    [["normalize", "Quarantined"], ["merge", "Dropped by policy, licence or deny list"]].map(([key, title]) =>
      h("li", {}, h("a", { href: `#/left?stage=${key}`, "aria-current": key === stage ? "true" : null }, title))));
  const known = await reasons(stage, signal);
  fill(body, tabs,
    h("p", { class: "quiet" }, stage === "normalize"
      ? "Upstream rows that never became a record. Nothing has screened their text, so it is hidden until you ask for it."
      : "Records that stay out of the merged table. The row's page shows its text and lineage."),
    filters("left", [
      stage === "normalize" ? field("text", "Search the raw rows", query.text) : null,
      choice("source", "Source", known.sources, query.source),
      choice("reason", "Reason", known.reasons, query.reason),
      h("input", { type: "hidden", name: "stage", value: stage }),
    ]));
  const shared = { query, limit: 25, empty: "No row left for these conditions." };
  if (stage === "normalize") await pages(body, { ...shared, path: "/api/browse/quarantine", draw: quarantined }, signal);
  else await pages(body, { ...shared, path: "/api/browse/dropped", draw: dropped }, signal);
}

function quarantined(rows) {
  return table("Quarantined rows", [
    ["Reason", (row) => [badge(row.reason, "warn"), h("div", { class: "small" }, row.message)], "tags"],
    ["Source", (row) => [h("div", {}, row.source), h("div", { class: "small" },
      h("a", { href: `#/row?name=${encodeURIComponent(`${row.source}:${row.file}:${row.row}`)}` }, `row ${row.row}`)),
    h("div", { class: "quiet small" }, row.file)], "narrow"],
    ["Raw row", (row) => (row.raw
      ? veiled(raw(row.raw), true, `${number(row.characters)} characters`)
      : h("span", { class: "quiet" }, "not kept: it can name people")), "main"],
  ], rows);
}

function dropped(rows) {
  return table("Dropped records", [
    ["Record", (row) => rowLink(row.id)],
    ["Source", (row) => row.source],
    ["Reason", (row) => badge(row.reason, "warn")],
  ], rows);
}

/** Sources and reasons to choose of, by the last report; none before there is one. */
async function reasons(stage, signal) {
  const counts = { sources: new Map(), reasons: new Map() };
  const { sources } = await get("/api/browse/flow", {}, signal).catch(() => ({ sources: [] }));
  for (const one of sources) {
    for (const [reason, rows] of Object.entries(stage === "normalize" ? one.rejected : one.dropped)) {
      counts.sources.set(one.source, (counts.sources.get(one.source) ?? 0) + rows);
      counts.reasons.set(reason, (counts.reasons.get(reason) ?? 0) + rows);
    }
  }
  const listed = (map) => [...map].sort((a, b) => b[1] - a[1]).map(([key, rows]) => [key, `${words(key)} (${number(rows)})`]);
  return { sources: listed(counts.sources), reasons: listed(counts.reasons) };
}

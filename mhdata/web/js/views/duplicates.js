// Clusters: each row that stands for others, with the evidence for every removed one.

import { get } from "../api.js";
import { fill, h, number } from "../dom.js";
import { badge, choice, filters, pages, rowLink, table, texts } from "../parts.js";

export async function render(body, params, signal) {
  const query = { source: params.get("source") ?? "" };
  const { sources } = await get("/api/browse/flow", {}, signal).catch(() => ({ sources: [] }));
  const counts = sources.map((one) => [one.source, Object.values(one.duplicates).reduce((sum, rows) => sum + rows, 0)]);
  fill(body,
    h("p", { class: "quiet" }, "A removed row is linked to the row that stands for it. Near-duplicates that stay are on one side of the split."),
    filters("duplicates", [choice("source", "Source of the row that stays",
      counts.filter(([, rows]) => rows).map(([name, rows]) => [name, `${name} (${number(rows)} removed)`]), query.source)]));
  await pages(body, {
    path: "/api/browse/clusters", query, limit: 10, unit: "clusters and members", empty: "There are no duplicates.",
    draw: (rows) => rows.map(cluster),
  }, signal);
}

function cluster(row) {
  return h("article", { class: "card cluster" },
    h("h2", {}, rowLink(row.id), " ", h("span", { class: "quiet" }, row.source)),
    texts(row),
    row.removed.length ? table(`Rows that ${row.id.slice(0, 10)} stands for`, [
      ["Removed", (other) => rowLink(other.id)],
      ["Source", (other) => other.source],
      ["Method", (other) => badge(other.method)],
      ["Similarity", (other) => other.score.toFixed(3), "num"],
      ["Differing words", (other) => number(other.differing_words), "num"],
    ], row.removed) : null,
    row.cluster ? h("p", {}, h("a", { href: `#/rows?cluster=${row.cluster}` }, "Near-duplicates that stay beside it")) : null);
}

// One row with its lineage.

import { get } from "../api.js";
import { fill, h, number, words } from "../dom.js";
import { badge, card, labels, raw, rowLink, table, why } from "../parts.js";
import { veiled } from "../veil.js";

const STATES = {
  merged: "In the merged table.",
  duplicate: "Removed as a duplicate: another row stands for it.",
  dropped: "Kept out of the merged table.",
  normalized: "A record that no merge has taken yet.",
  quarantined: "Never became a record.",
};

export async function render(body, params, signal) {
  const name = params.get("name") ?? "";
  const row = await get("/api/browse/row", { name }, signal);
  const reason = why(row.findings);
  fill(body,
    h("p", { class: "lead" }, badge(row.state, row.state === "merged" ? "good" : "warn"), " ", STATES[row.state],
      row.reason ? [" Reason: ", h("strong", {}, words(row.reason)), "."] : null,
      row.message ? ` ${row.message}` : null),
    h("p", { class: "id whole" }, row.id ?? name),
    row.record ? conversation(row, reason) : null,
    h("div", { class: "columns" }, lineage(row), row.record ? exported(row) : null),
    row.duplicates?.length || row.cluster ? relatives(row) : null,
    row.raw ? upstream(row, reason) : null);
}

function conversation(row, reason) {
  const { record } = row;
  const said = record.turns
    ? record.turns.map((turn) => [turn.role, turn.content])
    : [["input", record.input], ["response", record.response]];
  const all = [record.system ? ["system", record.system] : null, ...said,
    record.rejected_response ? ["rejected response", record.rejected_response] : null].filter(Boolean);
  return card("Texts",
    h("p", {}, labels(record.tags, row.findings)),
    veiled(h("ol", { class: "turns" }, all.map(([role, text]) =>
      h("li", { class: `turn ${role.replace(" ", "-")}` }, h("h3", {}, role), h("p", { class: "text" }, text)))), row.sensitive, reason));
}

function lineage(row) {
  const { origin } = row;
  const steps = [
    ["Upstream", facts([
      ["dataset", origin.dataset], ["revision", origin.revision], ["file", origin.file], ["row", number(origin.row)],
      ["sha256", origin.sha256], ["key", origin.key], ["license", row.record?.license],
    ])],
    ["Normalized", row.state === "quarantined"
      ? h("p", {}, badge("rejected", "warn"), " ", words(row.reason))
      : facts([["edits", origin.edits?.length ? origin.edits.join(", ") : "none"], ["type", row.record.type]])],
  ];
  if (row.state !== "quarantined") {
    steps.push(["Screened", row.attributes ? attributes(row.attributes) : h("p", { class: "quiet" }, "Not screened yet.")]);
    steps.push(["Merged", merged(row)]);
  }
  if (row.state === "merged") {
    steps.push(["Split", row.side ? facts([["side", row.side], ["group", row.group]]) : h("p", { class: "quiet" }, "On no side yet.")]);
  }
  return card("Lineage", h("p", { class: "quiet" }, `Source ${row.source}`),
    h("ol", { class: "steps" }, steps.map(([title, content]) => h("li", {}, h("h3", {}, title), content))));
}

function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

function merged(row) {
  if (row.state === "dropped") return h("p", {}, badge("dropped", "warn"), " ", words(row.reason));
  if (row.kept) {
    return h("p", {}, "Removed (", row.reason, "): ", rowLink(row.kept.id), ` of ${row.kept.source} stands for it; similarity `,
      row.kept.score.toFixed(3), `, ${number(row.kept.differing_words)} differing words.`);
  }
  return row.state === "merged"
    ? facts([["enters", row.record.enters.join(", ") || "no export"], ["stands for", `${number(row.duplicates.length)} removed`]])
    : h("p", { class: "quiet" }, "Not merged yet.");
}

/** Attributes as the screens wrote them; evidence is a place in the text, so it tells nothing of it. */
function attributes(all) {
  const screens = Object.entries(all).filter(([, value]) => value && typeof value === "object");
  return facts(screens.map(([name, value]) => [name, short(value)]));
}

function short(value) {
  const said = Object.entries(value).filter(([, inner]) => inner !== null && inner !== false && !(Array.isArray(inner) && !inner.length));
  return said.map(([name, inner]) => `${words(name)}: ${plain(inner)}`).join("; ") || "nothing found";
}

function plain(value) {
  if (Array.isArray(value)) return value.map(plain).join(", ");
  if (value && typeof value === "object") return Object.values(value).filter((inner) => inner !== null).join(" ");
  return String(value);
}

function exported(row) {
  const listed = Object.entries(row.exports ?? {});
  if (!listed.length) return null;
  return card("Exports", table("Exports that the row enters", [
    ["Format", ([name]) => name],
    ["Enters", ([, found]) => (found.enters ? badge("yes", "good") : badge("no"))],
    ["Why not", ([, found]) => words(found.reason ?? "")],
  ], listed));
}

function relatives(row) {
  return card("Duplicates",
    row.duplicates?.length ? table("Rows that this one stands for", [
      ["Removed", (other) => rowLink(other.id)],
      ["Source", (other) => other.source],
      ["Method", (other) => other.method],
      ["Similarity", (other) => (other.score / 1000).toFixed(3), "num"],
      ["Differing words", (other) => number(other.differing_words), "num"],
    ], row.duplicates) : null,
    row.cluster ? h("p", {}, "Near-duplicates that stay, on the same side: ",
      row.cluster.rows.filter((other) => other.id !== row.id).slice(0, 50).map((other) => [rowLink(other.id), ` of ${other.source} `])) : null);
}

function upstream(row, reason) {
  let text = row.raw;
  try {
    text = JSON.stringify(JSON.parse(row.raw), null, 2);
  } catch {
    // a row that is no JSON is shown as it came
  }
  return card("Upstream row", veiled(raw(text), row.sensitive, reason));
}

// Files that a build made: each format with its files, and all others by group.

import { download, get } from "../api.js";
import { bytes, fill, h, number, say, when, words } from "../dom.js";
import { badge, card, table } from "../parts.js";

export async function render(body, params, signal) {
  const [{ formats }, { items }] = await Promise.all([
    get("/api/ai/data/prepare", {}, signal),
    get("/api/artifacts", {}, signal),
  ]);
  const files = new Map(items.map((file) => [file.url, file]));
  const listed = Object.entries(formats).filter(([, format]) => format.selected);
  const ready = listed.filter(([, format]) => format.exists);
  const waiting = listed.filter(([, format]) => !format.exists);
  const other = Object.entries(formats).filter(([, format]) => !format.selected).map(([name]) => name);
  const used = new Set(ready.flatMap(([, format]) => format.downloads));
  fill(body,
    h("p", { class: "quiet" }, "A file is fetched with your token and handed to the browser when it is whole. For large ones take ",
      h("code", {}, "curl"), ": each row has its command."),
    merged(items, signal),
    ready.map(([name, format]) => card(name,
      h("p", {}, badge(format.stale ? "stale" : "up to date", format.stale ? "warn" : "good"), " ",
        Object.entries(format.rows).map(([side, rows]) => `${words(side)} ${number(rows)}`).join(", "), format.note ? `. ${format.note}` : ""),
      fileTable(name, format.downloads.map((url) => files.get(url)).filter(Boolean), signal))),
    waiting.length ? card("Without files", h("ul", {}, waiting.map(([name, format]) => h("li", {}, h("strong", {}, name), `: ${format.note ?? "not built yet"}`)))) : null,
    other.length ? h("p", { class: "quiet small" }, `Not asked for in params.yaml: ${other.join(", ")}.`) : null,
    groups(items.filter((file) => file.group !== "merged" && !used.has(file.url)), signal));
  if (!items.length) fill(body, h("p", { class: "notice" }, "Nothing has been built yet. ", h("a", { href: "#/build" }, "To the builds")));
}

function merged(items, signal) {
  const own = items.filter((file) => file.group === "merged");
  return own.length ? card("Merged table", fileTable("Merged table", own, signal)) : null;
}

function groups(items, signal) {
  const found = new Map();
  for (const file of items) found.set(file.group, [...(found.get(file.group) ?? []), file]);
  return [...found].map(([group, files]) => h("details", { class: "card" }, h("summary", {}, `${group} (${number(files.length)})`), fileTable(group, files, signal)));
}

function fileTable(title, files, signal) {
  return table(`Files of ${title}`, [
    ["File", (file) => h("span", { class: "path" }, file.name.replaceAll("~", "/"))],
    ["Size", (file) => bytes(file.bytes), "num"],
    ["Written", (file) => when(file.when), "narrow"],
    ["Fetch", (file) => [fetcher(file, signal), command(file)], "does"],
  ], files);
}

function fetcher(file, signal) {
  const name = file.name.split("~").at(-1);
  const button = h("button", { type: "button", class: "button", "aria-label": `Download ${name}`, onclick: async () => {
    button.disabled = true;
    try {
      await download(file.url, name, (got) => fill(button, `${Math.floor((100 * got) / Math.max(1, file.bytes))} %`), signal);
      fill(button, "Download");
      say(`${name} is downloaded`);
    } catch (error) {
      if (!signal.aborted) fill(button, error.message);
    } finally {
      button.disabled = false;
    }
  } }, "Download");
  return button;
}

function command(file) {
  const text = `curl -H "Authorization: Bearer $MHDATA_TOKEN" -C - -o "${file.name.split("~").at(-1)}" "${location.origin}${file.url}"`;
  const button = h("button", { type: "button", class: "plain", "aria-label": `Copy the curl command of ${file.name.split("~").at(-1)}`, onclick: async () => {
    await navigator.clipboard.writeText(text);
    fill(button, "copied");
    setTimeout(() => fill(button, "curl"), 1500);
  } }, "curl");
  return button;
}

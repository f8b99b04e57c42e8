// What several views show: tables, badges, bars, texts with a mark, pages.

import { ApiError, get } from "./api.js";
import { fill, h, number, say, share } from "./dom.js";
import { veiled } from "./veil.js";

/** A table. `columns`: [title, cell(row), class]. On a narrow screen each row becomes a card with the titles in it. */
export function table(caption, columns, rows) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", { class: "list" },
      h("caption", { class: "sr" }, caption),
      h("thead", {}, h("tr", {}, columns.map(([title, , kind]) => h("th", { scope: "col", class: kind }, title)))),
      h("tbody", {}, rows.map((row) => line(columns, row)))));
}

export function line(columns, row) {
  return h("tr", {}, columns.map(([title, cell, kind]) => h("td", { class: kind, "data-title": title }, cell(row))));
}

export function badge(text, kind = "") {
  return h("span", { class: `badge ${kind}` }, text);
}

/** A link to a row, named by the start of its id. */
export function rowLink(id) {
  return h("a", { class: "id", href: `#/row?name=${encodeURIComponent(id)}`, title: id }, id.slice(0, 10));
}

/** Bars of counts, longest first as they come: [name, count, address]. More than `most` open on demand. */
export function bars(caption, counts, total, { most = 15, kind = "" } = {}) {
  const largest = Math.max(1, ...counts.map(([, count]) => count));
  const rows = counts.map(([name, count, address]) => {
    const bar = h("span", { class: `bar ${kind}` });
    bar.style.width = `${(100 * count) / largest}%`;
    return h("tr", {},
      h("th", { scope: "row" }, address ? h("a", { href: address }, name) : name),
      h("td", { class: "track" }, bar),
      h("td", { class: "num" }, number(count)),
      h("td", { class: "num quiet" }, share(count, total)));
  });
  const body = h("tbody", {}, rows.slice(0, most));
  const more = rows.length > most
    ? h("button", { type: "button", class: "plain", onclick: () => {
      body.append(...rows.slice(most));
      more.remove();
    } }, `All ${number(rows.length)}`)
    : null;
  if (!counts.length) return h("p", { class: "quiet" }, "None.");
  return h("div", { class: "bars" },
    h("table", {}, h("caption", { class: "sr" }, caption),
      h("thead", { class: "sr" }, h("tr", {}, ["Name", "Bar", "Rows", "Share"].map((title) => h("th", { scope: "col" }, title)))),
      body),
    more);
}

export function card(title, ...content) {
  return h("section", { class: "card" }, title ? h("h2", {}, title) : null, content);
}

/** A text with every mention of `mark` set off. */
export function marked(text, mark) {
  if (!text || !mark) return text ?? "";
  const parts = [];
  const low = text.toLowerCase();
  const wanted = mark.toLowerCase();
  if (low.length !== text.length) return text; // letters whose small form is longer: no place can be told
  let from = 0;
  for (let at = low.indexOf(wanted); at >= 0; at = low.indexOf(wanted, from)) {
    parts.push(text.slice(from, at), h("mark", {}, text.slice(at, at + wanted.length)));
    from = at + wanted.length;
  }
  parts.push(text.slice(from));
  return parts;
}

const DELICATE = /^(crisis|pii:(?!public))/;

/** What the screens found that makes a text sensitive, in words. */
export function why(findings) {
  if (!findings) return "not screened";
  return findings.filter((name) => DELICATE.test(name)).join(", ");
}

/** A row's tags and what the screens found in it, each name once. */
export function labels(tags, findings) {
  const names = [...new Set([...tags, ...(findings ?? []).filter((name) => name !== "language:en")])];
  return h("span", { class: "badges" }, names.map((name) => badge(name, DELICATE.test(name) ? "warn" : "")),
    findings ? null : badge("not screened", "warn"));
}

/** The texts of a row in a list. */
export function texts(row, mark = "") {
  const shown = [["Input", row.input], ["Response", row.response], ["Rejected", row.rejected_response]];
  return veiled(
    h("dl", { class: "texts" }, shown.filter(([, text]) => text).map(([name, text]) => [h("dt", {}, name), h("dd", {}, marked(text, mark))])),
    row.sensitive, why(row.findings));
}

/** A raw row as it came; long ones scroll, so the keyboard can get into them. */
export function raw(text) {
  return h("pre", { class: "raw", tabindex: "0", role: "region", "aria-label": "Raw row" }, text);
}

/** A choice; `options`: [value, text]. */
export function choice(name, label, options, value) {
  const select = h("select", { name, id: `choose-${name}` },
    h("option", { value: "" }, "all"),
    options.map(([key, text]) => h("option", { value: key }, text)));
  if (value && !options.some(([key]) => key === value)) select.append(h("option", { value }, value));
  select.value = value ?? "";
  return h("div", { class: "field" }, h("label", { for: select.id }, label), select);
}

export function field(name, label, value, hint = "") {
  const input = h("input", { type: "search", name, id: `find-${name}`, maxlength: "200", placeholder: hint, autocomplete: "off" });
  input.value = value ?? "";
  return h("div", { class: "field wide" }, h("label", { for: input.id }, label), input);
}

/** A form of filters whose values stand in the address, so that a search can be kept and sent. */
export function filters(path, fields, { live = true } = {}) {
  const go = () => {
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
    location.hash = query.size ? `#/${path}?${query}` : `#/${path}`;
  };
  const form = h("form", { class: "filters", role: "search", onsubmit: (event) => {
    event.preventDefault();
    go();
  }, onchange: (event) => {
    if (live && event.target.tagName === "SELECT") go();
  } }, fields, h("button", { class: "button main" }, "Search"));
  return form;
}

/**
 * Pages of an address of /api/browse. `draw(rows)` gives the elements of a page. The server may end a page before it
 * is full, since it looks for a limited time: we ask on until it is, or until the reader stops us.
 */
export async function pages(body, { path, query, limit, draw, empty, unit = "rows" }, signal) {
  const visited = [null]; // cursors of the pages so far
  const place = h("div", { class: "page" });
  const note = h("p", { class: "quiet", role: "status" });
  const back = h("button", { type: "button", class: "button", onclick: () => { visited.pop(); load(); } }, "Previous page");
  const on = h("button", { type: "button", class: "button", onclick: () => { visited.push(next); load(); } }, "Next page");
  const stop = h("button", { type: "button", class: "button", hidden: true, onclick: () => { stopped = true; } }, "Stop searching");
  let next = null;
  let stopped = false;
  body.append(note, place, h("div", { class: "pager", role: "group", "aria-label": "Pages" }, back, on, stop));

  async function turn() {
    stopped = false;
    back.disabled = on.disabled = true;
    const rows = [];
    let after = visited.at(-1);
    let page;
    do {
      try {
        page = await get(path, { ...query, after, limit: limit - rows.length }, signal);
      } catch (error) {
        if (!(error instanceof ApiError) || error.status !== 409 || !visited.at(-1)) throw error;
        say(error.message); // a build has written the table anew
        visited.splice(1);
        after = null;
        rows.length = 0;
        continue;
      }
      rows.push(...page.rows);
      after = page.next;
      stop.hidden = !after || rows.length >= limit;
      note.textContent = `${number(rows.length)} found so far; ${share(page.scanned, page.total)} searched`;
      if (rows.length) fill(place, draw(rows));
    } while (after && rows.length < limit && !stopped && !signal.aborted);
    if (signal.aborted) return;
    stop.hidden = true;
    next = page.next;
    back.disabled = visited.length < 2;
    on.disabled = !next;
    on.textContent = stopped && rows.length < limit ? "Search on" : "Next page";
    fill(place, rows.length ? draw(rows) : h("p", { class: "notice" }, empty));
    note.textContent = summary(rows.length, page, visited.length, unit, limit);
  }

  async function load() {
    try {
      await turn();
      place.scrollIntoView({ block: "nearest" });
    } catch (error) {
      if (!signal.aborted) fill(place, h("p", { class: "notice bad", role: "alert" }, error.message));
    }
  }

  await turn();
}

function summary(count, page, at, unit, limit) {
  const before = (at - 1) * limit;
  if (!before && !count) return page.next ? `Nothing so far; ${share(page.scanned, page.total)} looked at` : "Nothing found";
  const range = count ? `${number(before + 1)}–${number(before + count)}` : "none";
  if (page.scanned === before + count) return `Page ${at}: ${unit} ${range} of ${number(page.total)}`; // no row was passed over
  return `Page ${at}: ${unit} ${range}${page.next ? `; ${share(page.scanned, page.total)} looked at` : ` of ${number(before + count)}`}`;
}

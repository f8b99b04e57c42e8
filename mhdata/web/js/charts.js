// Figures in SVG. Each has its numbers beside it as a table, which says the same without a picture.

import { h, number, s } from "./dom.js";

const GAP = 12; // pixels between the nodes of a column
const THIN = 1.5; // of a flow that would else not be seen

/**
 * A Sankey diagram. `columns`: lists of { key, title, kind }; `links`: { from, to, rows, kind }, from one column to a
 * later one. Heights are in proportion to rows.
 */
export function sankey(title, columns, links, { width = 960, height = 520 } = {}) {
  const nodes = laidOut(columns, links, width, height);
  const ribbons = drawnLinks(nodes, links);
  const boxes = [...nodes.values()].map((node) => drawnNode(node, columns.length));
  return h("div", { class: "scroll figure", tabindex: "0", role: "region", "aria-label": title },
    s("svg", { class: "sankey", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": title }, ribbons, boxes));
}

function laidOut(columns, links, width, height) {
  const nodes = new Map();
  columns.forEach((column, place) => column.forEach((node) => nodes.set(node.key, { ...node, place, came: 0, went: 0 })));
  for (const link of links) {
    nodes.get(link.from).went += link.rows;
    nodes.get(link.to).came += link.rows;
  }
  const size = (node) => Math.max(node.came, node.went);
  const inColumn = columns.map((column) => column.map((node) => nodes.get(node.key)));
  const scale = Math.min(...inColumn.map((column) =>
    (height - 20 - GAP * (column.length - 1)) / Math.max(1, column.reduce((sum, node) => sum + size(node), 0))));
  const [left, right, wide] = [190, 150, 14]; // room for the titles at both ends
  inColumn.forEach((column, place) => {
    let y = 10;
    for (const node of column) {
      node.rows = size(node);
      node.x = left + (place * (width - left - right - wide)) / Math.max(1, columns.length - 1);
      node.width = wide;
      node.height = Math.max(2, node.rows * scale);
      node.y = y;
      node.out = node.into = y;
      y += node.height + GAP;
    }
    fitted(column, height);
  });
  nodes.scale = scale;
  return nodes;
}

/** Small nodes get room for their titles, as far as there is any. */
function fitted(column, height) {
  const used = column.reduce((sum, node) => sum + node.height, 0);
  const gap = Math.min(26, (height - 20 - used) / Math.max(1, column.length - 1));
  let y = 10;
  for (const node of column) {
    node.y = node.out = node.into = y;
    y += node.height + Math.max(4, node.height < 16 ? gap : Math.min(gap, GAP));
  }
}

function drawnLinks(nodes, links) {
  return links.filter((link) => link.rows).map((link) => {
    const [from, to] = [nodes.get(link.from), nodes.get(link.to)];
    const thick = link.rows * nodes.scale;
    const [x0, x1] = [from.x + from.width, to.x];
    const [y0, y1] = [from.out + thick / 2, to.into + thick / 2];
    from.out += thick;
    to.into += thick;
    const middle = (x0 + x1) / 2;
    return s("path", { class: `flow ${link.kind ?? ""}`, d: `M${x0} ${y0}C${middle} ${y0} ${middle} ${y1} ${x1} ${y1}`, "stroke-width": Math.max(THIN, thick) },
      s("title", {}, `${from.title} → ${to.title}: ${number(link.rows)} rows`));
  });
}

function drawnNode(node, columns) {
  const last = node.place === columns - 1;
  const first = node.place === 0;
  const x = first ? node.x - 8 : node.x + node.width + 8;
  return s("g", { class: `node ${node.kind ?? ""}` },
    s("rect", { x: node.x, y: node.y, width: node.width, height: node.height, rx: 2 }),
    s("text", { x, y: node.y + node.height / 2, "dominant-baseline": "middle", "text-anchor": first ? "end" : "start", class: last || first ? "" : "inner" },
      `${node.title} `, s("tspan", { class: "count" }, number(node.rows))));
}

/** A waterfall: what came, what each step took, what stays. `steps`: { title, rows, kind }; kind "total" or a loss. */
export function waterfall(title, steps, whole) {
  let left = whole;
  const rows = steps.map((step) => {
    const total = step.kind === "total" || step.kind === "part";
    const bar = h("span", { class: `bar ${step.kind}` });
    const end = total ? step.rows : left;
    if (!total) left -= step.rows;
    bar.style.marginInlineStart = `${(100 * (total ? 0 : left)) / Math.max(1, whole)}%`;
    bar.style.width = `${(100 * (total ? end : step.rows)) / Math.max(1, whole)}%`;
    return h("tr", { class: step.kind },
      h("th", { scope: "row" }, step.href ? h("a", { href: step.href }, step.title) : step.title),
      h("td", { class: "track" }, bar),
      h("td", { class: "num" }, total ? number(step.rows) : `−${number(step.rows)}`));
  });
  return h("div", { class: "bars waterfall" }, h("table", {}, h("caption", { class: "sr" }, title),
    h("thead", { class: "sr" }, h("tr", {}, ["Step", "Bar", "Rows"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, rows)));
}

/** Columns of a histogram: [label, count]. */
export function histogram(title, counts) {
  const largest = Math.max(1, ...counts.map(([, count]) => count));
  return h("ol", { class: "histogram", "aria-label": title }, counts.map(([label, count]) => {
    const bar = h("span", { class: "column", "aria-hidden": "true" });
    bar.style.height = `${(100 * count) / largest}%`;
    return h("li", { title: `up to ${label}: ${number(count)}` },
      h("span", { class: "well" }, bar), h("span", { class: "label" }, h("span", { class: "sr" }, "up to "), label), h("span", { class: "sr" }, `: ${number(count)} texts`));
  }));
}

// Log-in, navigation by the address's hash, and the theme.

import { ApiError, get, remember, token } from "./api.js";
import { fill, h, plural, say } from "./dom.js";
import { allShown, showAll } from "./veil.js";

const VIEWS = [
  ["", "Overview", "overview"],
  ["flow", "Flow", "flow"],
  ["distributions", "Distributions", "distributions"],
  ["rows", "Rows", "rows"],
  ["left", "Left out", "left"],
  ["duplicates", "Duplicates", "duplicates"],
  ["build", "Build", "build"],
  ["downloads", "Downloads", "downloads"],
];
const OTHER = { row: ["Row", "row", "rows"] };
const THEMES = ["auto", "light", "dark"];

const main = document.getElementById("main");
const nav = document.getElementById("nav");
let current = new AbortController();
let locked = true;

// --- where we are ---------------------------------------------------------------------------------------------

function here() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { path, params: new URLSearchParams(query) };
}

async function show() {
  if (locked) return;
  current.abort();
  current = new AbortController();
  const { signal } = current;
  const { path, params } = here();
  const found = VIEWS.find(([name]) => name === path);
  const [title, module, under] = found ? [found[1], found[2], path] : (OTHER[path] ?? ["Not found", null, null]);
  document.title = `${title} · mhdata`;
  for (const link of nav.querySelectorAll("a")) {
    if (link.dataset.view !== under) link.removeAttribute("aria-current");
    else {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "center" });
    }
  }
  const heading = h("h1", { tabindex: "-1" }, title);
  const body = h("div", { class: "view", "aria-busy": "true" }, h("p", { class: "quiet" }, "Loading …"));
  fill(main, heading, body);
  heading.focus({ preventScroll: true });
  window.scrollTo(0, 0);
  try {
    if (!module) throw new ApiError(404, "There is no such view.");
    const view = await import(`./views/${module}.js`);
    if (signal.aborted) return;
    await view.render(body, params, signal);
  } catch (error) {
    if (!signal.aborted) fill(body, trouble(error));
  } finally {
    body.removeAttribute("aria-busy");
  }
}

/** An error as the reader sees it. */
function trouble(error) {
  if (!(error instanceof ApiError)) console.error(error);
  const text = error instanceof ApiError ? error.message : "A bug of this page: the browser's console has the trace.";
  const empty = error.status === 404;
  return h("div", { class: empty ? "notice" : "notice bad", role: empty ? "status" : "alert" },
    h("p", {}, text),
    empty && here().path !== "build" ? h("p", {}, h("a", { class: "button", href: "#/build" }, "To the builds")) : null);
}

// --- the bar --------------------------------------------------------------------------------------------------

function drawBar() {
  const veil = h("label", { class: "check" },
    h("input", { type: "checkbox", id: "unveil", onchange: (event) => showAll(event.target.checked) }),
    h("span", {}, "Show sensitive texts"));
  veil.firstChild.checked = allShown();
  const theme = h("button", { type: "button", class: "plain", onclick: () => nextTheme(theme) });
  nameTheme(theme);
  const leave = h("button", { type: "button", class: "plain", onclick: logOut }, "Log out");
  fill(document.getElementById("tools"), locked ? null : veil, theme, locked || !token() ? null : leave);
}

function theme() {
  const kept = localStorage.getItem("mhdata-theme");
  return THEMES.includes(kept) ? kept : "auto";
}

function nextTheme(button) {
  const next = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length];
  localStorage.setItem("mhdata-theme", next);
  applyTheme();
  nameTheme(button);
}

function nameTheme(button) {
  fill(button, `Theme: ${theme()}`);
}

function applyTheme() {
  document.documentElement.dataset.theme = theme();
}

function drawNav() {
  const links = VIEWS.map(([path, title]) => h("li", {}, h("a", { href: `#/${path}`, "data-view": path }, title)));
  fill(nav, h("ul", {}, links));
  nav.hidden = false;
}

/** The state of the workspace in the bar: known after each view that asks for it. */
window.addEventListener("mhdata-status", ({ detail: status }) => {
  const stale = status.stages.filter((stage) => stage.state === "stale" || stage.state === "missing").length;
  const [kind, text] = status.building
    ? ["busy", `building: ${status.building.target}`]
    : status.up_to_date ? ["good", "up to date"] : ["warn", `${plural(stale, "stage")} to run`];
  fill(document.getElementById("state"), h("span", { class: `dot ${kind}` }), text);
});

// --- log-in ---------------------------------------------------------------------------------------------------

async function enter() {
  try {
    await get("/api/jobs", { limit: 1 });
  } catch (error) {
    if (error.status === 401) logIn(token() ? error.message : "");
    else fill(main, h("h1", {}, "mhdata"), trouble(error));
    return;
  }
  locked = false;
  drawNav();
  drawBar();
  await show();
  const status = await get("/api/status").catch(() => null);
  if (status) window.dispatchEvent(new CustomEvent("mhdata-status", { detail: status }));
}

function logIn(said) {
  locked = true;
  current.abort();
  remember("");
  nav.hidden = true;
  fill(document.getElementById("state"));
  drawBar();
  document.title = "Log in · mhdata";
  const input = h("input", {
    type: "password", id: "token", autocomplete: "current-password", required: true, spellcheck: "false",
    "aria-describedby": "token-help",
  });
  const form = h("form", { class: "card login", onsubmit: (event) => {
    event.preventDefault();
    remember(input.value.trim());
    enter();
  } },
  h("h1", {}, "Log in"),
  said ? h("p", { class: "notice bad", role: "alert" }, said) : null,
  h("label", { for: "token" }, "Token"), input,
  h("p", { id: "token-help", class: "quiet" },
    "The server was started with it: the environment variable MHDATA_TOKEN, or a token file. It is kept until this tab is closed."),
  h("button", { class: "button main" }, "Log in"));
  fill(main, form);
  input.focus();
  if (said) say(said);
}

function logOut() {
  logIn("");
  say("Logged out.");
}

window.addEventListener("mhdata-locked", () => {
  if (!locked) logIn("The token is not the server's any more.");
});
window.addEventListener("hashchange", show);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the hash is the view's
  main.focus();
});
applyTheme();
enter();

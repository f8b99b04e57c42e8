// The HTTP API: every request carries the token, every error is the server's sentence.

const KEY = "mhdata-token"; // in sessionStorage: it lives as long as the tab

export class ApiError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export function token() {
  return sessionStorage.getItem(KEY) ?? "";
}

export function remember(value) {
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
}

async function request(method, path, { body, headers = {}, signal } = {}) {
  const sent = { Accept: "application/json, application/problem+json, */*;q=0.5", ...headers };
  if (token()) sent.Authorization = `Bearer ${token()}`;
  if (body !== undefined) sent["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, {
      method, headers: sent, signal, cache: "no-store", credentials: "omit",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The server does not answer: see whether `mhdata serve` still runs.");
  }
  if (!answer.ok) throw await failure(answer);
  return answer;
}

async function failure(answer) {
  let detail = `The server answered ${answer.status}.`;
  try {
    detail = (await answer.json()).detail ?? detail;
  } catch {
    // not JSON: the status has to do
  }
  if (answer.status === 401) window.dispatchEvent(new Event("mhdata-locked"));
  return new ApiError(answer.status, sentence(detail));
}

function sentence(text) {
  const said = String(text);
  return said.charAt(0).toUpperCase() + said.slice(1) + (/[.!?]$/.test(said) ? "" : ".");
}

function address(path, params = {}) {
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value !== null && value !== undefined && value !== ""));
  return query.size ? `${path}?${query}` : path;
}

export async function get(path, params, signal) {
  return (await request("GET", address(path, params), { signal })).json();
}

/** What a POST was answered with: { status, body }. */
export async function post(path, body) {
  const answer = await request("POST", path, { body });
  return { status: answer.status, body: await answer.json() };
}

export async function remove(path) {
  return request("DELETE", path);
}

/** Server-sent events as { event, data, id }, until the server ends the stream. */
export async function* events(path, last, signal) {
  const headers = { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) };
  const answer = await request("GET", path, { headers, signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = parsed(block);
      if (event) yield event;
    }
  }
}

function parsed(block) {
  const found = { event: "message", data: "", id: null };
  const data = [];
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue; // a comment, which keeps the line open
    const value = line.slice(colon + 1).replace(/^ /, "");
    if (line.startsWith("data")) data.push(value);
    else if (line.startsWith("event")) found.event = value;
    else if (line.startsWith("id")) found.id = value;
  }
  if (!data.length) return null;
  found.data = JSON.parse(data.join("\n"));
  return found;
}

/** Fetch a file with the token and hand it to the browser's downloads. `progress` gets the bytes so far. */
export async function download(path, name, progress, signal) {
  const answer = await request("GET", path, { headers: { Accept: "*/*" }, signal });
  const parts = [];
  let got = 0;
  const reader = answer.body.getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    parts.push(value);
    got += value.length;
    progress(got);
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts, { type: "application/octet-stream" }));
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

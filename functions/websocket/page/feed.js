// @ts-check
// The live feed of contracts.md, "Watching": sign in, watch, filter. No framework, no build step.

/** @typedef {{id: string, backbone: string, stream: string | null, sequence: number | null, error: string | null, time: string}} Delivery */
/**
 * @typedef {object} Message
 * @property {string} id
 * @property {string} topic
 * @property {string | null} subject
 * @property {string} source
 * @property {string} received_at
 * @property {"accepted" | "blocked"} verdict
 * @property {string | null} rule
 * @property {Delivery[]} deliveries
 */
/** @typedef {{principal: string, org: string}} Session */
/** @typedef {{message: Message, line: HTMLTableRowElement, detail: HTMLTableRowElement | null}} Row */
/**
 * @typedef {object} Frame
 * @property {string} [cursor]
 * @property {Message[]} [messages]
 * @property {Delivery[]} [deliveries]
 * @property {{from: string, to: string}} [gap]
 * @property {string} [heartbeat]
 * @property {{title: string, detail: string, status: number}} [error]
 */

const ROWS = 500; // kept on the page
const WAITING = 2000; // messages kept while nothing is drawn: a hidden tab draws nothing
const SILENCE = 40_000; // milliseconds; the server says something every 15 s

/**
 * The element of that id.
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
function element(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`no ${id}`);
  return found;
}

const signIn = element("sign-in", HTMLFormElement);
const filters = element("filters", HTMLFormElement);
const rows = element("rows", HTMLTableSectionElement);
const pause = element("pause", HTMLButtonElement);
const stateLine = element("state", HTMLParagraphElement);

/** @type {Map<string, Row>} by message id, or record id of a refusal */
const shown = new Map();
/** @type {{waiting: Frame[], count: number, missed: number, drawing: boolean, paused: boolean, total: number}} */
const page = { waiting: [], count: 0, missed: 0, drawing: false, paused: false, total: 0 };
/** @type {{socket: WebSocket | null, cursor: string, tries: number, retry: number, silence: number}} */
const link = { socket: null, cursor: "", tries: 0, retry: 0, silence: 0 };

// ---- signing in and out ----

/** @param {Session | null} session */
function showSession(session) {
  signIn.hidden = session !== null;
  element("feed", HTMLElement).hidden = session === null;
  element("sign-out", HTMLButtonElement).hidden = session === null;
  element("who", HTMLParagraphElement).textContent = session ? `${session.principal} · ${session.org}` : "";
  if (session) {
    connect();
  } else {
    disconnect();
    setState("off", "signed out");
    element("key", HTMLInputElement).focus();
  }
}

/** @returns {Promise<Session | null>} */
async function currentSession() {
  const answer = await fetch("/v1/session");
  return answer.ok ? answer.json() : null;
}

signIn.addEventListener("submit", async (event) => {
  event.preventDefault();
  const key = element("key", HTMLInputElement);
  const problem = element("sign-in-error", HTMLParagraphElement);
  problem.textContent = "";
  try {
    const headers = { "Content-Type": "application/json", "X-Requested-With": "switchboard" };
    const answer = await fetch("/v1/session", { method: "POST", headers, body: JSON.stringify({ key: key.value.trim() }) });
    const body = await answer.json();
    if (answer.ok) {
      key.value = "";
      showSession(body);
    } else {
      problem.textContent = body.detail || body.title;
    }
  } catch {
    problem.textContent = "Switchboard does not answer.";
  }
});

element("sign-out", HTMLButtonElement).addEventListener("click", async () => {
  const answer = await fetch("/v1/session", { method: "DELETE", headers: { "X-Requested-With": "switchboard" } }).catch(() => null);
  if (!answer?.ok) {
    setState("off", "not signed out everywhere yet: sign out again");
    return;
  }
  link.cursor = "";
  clear();
  showSession(null);
});

// ---- the connection ----

/**
 * @param {"off" | "trying" | "live"} state
 * @param {string} text
 */
function setState(state, text) {
  stateLine.dataset.state = state;
  stateLine.textContent = text;
}

function connect() {
  disconnect();
  setState("trying", "connecting");
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(filters)) {
    if (typeof value === "string" && value.trim()) query.set(name, value.trim());
  }
  if (link.cursor) query.set("cursor", link.cursor);
  const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/v1/feed?${query}`, "switchboard.feed.v1");
  link.socket = socket;
  let refused = false;
  socket.addEventListener("open", () => {
    if (!query.size) socket.send('{"subscribe":{}}'); // nothing to wait for: everything, from now on
    setState("live", "live");
    listen(socket);
  });
  socket.addEventListener("message", (event) => {
    /** @type {Frame} */
    const frame = JSON.parse(event.data);
    listen(socket);
    link.tries = 0;
    if (frame.cursor) link.cursor = frame.cursor;
    element("problem", HTMLParagraphElement).textContent = frame.error ? frame.error.detail : "";
    if (frame.error) {
      refused = frame.error.status < 500;
      link.cursor = "";
    } else if (!frame.heartbeat) {
      receive(frame);
    }
  });
  socket.addEventListener("close", () => {
    if (link.socket === socket) void comeBack(refused);
  });
}

function disconnect() {
  clearTimeout(link.retry);
  clearTimeout(link.silence);
  const socket = link.socket;
  link.socket = null;
  socket?.close();
}

/**
 * A connection that died without a word is noticed by its silence.
 * @param {WebSocket} socket
 */
function listen(socket) {
  clearTimeout(link.silence);
  link.silence = window.setTimeout(() => {
    if (link.socket === socket) connect();
  }, SILENCE);
}

/**
 * Connect again, later each time; unless nobody is signed in any more, or what was asked for is refused.
 * @param {boolean} refused
 */
async function comeBack(refused) {
  disconnect();
  setState("trying", "reconnecting");
  try {
    const session = await currentSession();
    if (!session) return showSession(null);
    if (refused) return setState("off", "refused");
  } catch {
    setState("trying", "no answer, trying again");
  }
  const wait = Math.min(250 * 2 ** link.tries, 10_000) * (0.75 + Math.random() / 2);
  link.tries += 1;
  link.retry = window.setTimeout(connect, wait);
}

// ---- the table ----

/** @param {Frame} frame */
function receive(frame) {
  page.waiting.push(frame);
  page.count += frame.messages?.length ?? 0;
  while (page.count > WAITING && page.waiting.length > 1) {
    const dropped = page.waiting.shift()?.messages?.length ?? 0;
    page.count -= dropped;
    page.total += dropped;
  }
  draw();
}

function draw() {
  if (page.drawing || page.paused) return showCount();
  page.drawing = true;
  requestAnimationFrame(() => {
    page.drawing = false;
    if (page.paused) return;
    const frames = page.waiting;
    page.waiting = [];
    page.count = 0;
    for (const frame of frames) {
      if (frame.gap) addGap(frame.gap);
      const messages = frame.messages ?? [];
      page.total += messages.length;
      for (const message of messages.slice(-ROWS)) addMessage(message);
      for (const delivery of frame.deliveries ?? []) addDelivery(delivery);
    }
    trim();
    showCount();
  });
}

/** @param {Message} message */
function addMessage(message) {
  const line = document.createElement("tr");
  line.className = "message";
  line.dataset.id = message.id;
  const time = document.createElement("button");
  time.type = "button";
  time.className = "time";
  time.textContent = clock(message.received_at);
  time.title = message.received_at;
  time.setAttribute("aria-expanded", "false");
  const verdict = document.createElement("span");
  verdict.className = `verdict ${message.verdict}`;
  verdict.textContent = message.verdict;
  verdict.title = message.rule ?? "";
  for (const content of [time, verdict, message.topic, message.subject ?? "", message.source, ""]) {
    const cell = line.insertCell();
    cell.append(content);
    if (typeof content === "string") cell.title = content;
  }
  if (message.verdict === "blocked") line.cells[5].textContent = message.rule ? `rule ${message.rule}` : "";
  const row = { message, line, detail: null };
  line.addEventListener("click", () => toggle(row));
  rows.prepend(line);
  shown.set(message.verdict === "blocked" ? `${message.id} ${message.received_at}` : message.id, row);
}

/** @param {Row} row */
function toggle(row) {
  const open = row.detail === null;
  if (row.detail) {
    row.detail.remove();
    row.detail = null;
  } else {
    row.detail = document.createElement("tr");
    row.detail.className = "detail";
    const cell = row.detail.insertCell();
    cell.colSpan = 6;
    cell.append(document.createElement("pre"));
    row.line.after(row.detail);
    write(row);
  }
  row.line.classList.toggle("open", open);
  row.line.querySelector(".time")?.setAttribute("aria-expanded", String(open));
}

/** @param {Row} row */
function write(row) {
  row.detail?.querySelector("pre")?.replaceChildren(JSON.stringify(row.message, null, 2));
}

/** @param {Delivery} delivery */
function addDelivery(delivery) {
  const row = shown.get(delivery.id);
  if (!row) return;
  row.message.deliveries.push(delivery);
  const cell = row.line.cells[5];
  cell.textContent = delivery.error ? `${delivery.backbone}: ${delivery.error}` : `${delivery.backbone} #${delivery.sequence}`;
  cell.title = cell.textContent;
  cell.classList.toggle("failed", Boolean(delivery.error));
  write(row);
}

/** @param {{from: string, to: string}} gap */
function addGap(gap) {
  const line = document.createElement("tr");
  line.className = "gap";
  const cell = line.insertCell();
  cell.colSpan = 6;
  cell.textContent = `Messages from ${clock(gap.from)} to ${clock(gap.to)} are no longer in the live window; query still has them.`;
  rows.prepend(line);
}

function trim() {
  for (const [id, row] of shown) {
    if (shown.size <= ROWS) break;
    row.detail?.remove();
    row.line.remove();
    shown.delete(id);
  }
  while (rows.lastElementChild?.classList.contains("gap")) rows.lastElementChild.remove();
}

function clear() {
  shown.clear();
  rows.replaceChildren();
  page.waiting = [];
  page.count = page.total = 0;
  showCount();
}

function showCount() {
  const total = page.total + page.count;
  const text = total === 1 ? "1 message" : `${total.toLocaleString("en")} messages`;
  element("count", HTMLSpanElement).textContent = page.paused && page.count ? `${text}, ${page.count} waiting` : text;
  element("empty", HTMLParagraphElement).hidden = rows.childElementCount > 0;
}

/** @param {string} time RFC 3339 */
function clock(time) {
  const date = new Date(time);
  return `${date.toLocaleTimeString("en-GB")}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

filters.addEventListener("submit", (event) => {
  event.preventDefault();
  link.cursor = "";
  clear();
  connect();
});

pause.addEventListener("click", () => {
  page.paused = !page.paused;
  pause.setAttribute("aria-pressed", String(page.paused));
  pause.textContent = page.paused ? "Resume" : "Pause";
  draw();
});

element("clear", HTMLButtonElement).addEventListener("click", clear);

currentSession().then(showSession, () => {
  setState("off", "no answer");
  signIn.hidden = false;
});

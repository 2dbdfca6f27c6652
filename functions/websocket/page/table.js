// @ts-check
// The table of messages: drawn once a frame of the screen, no longer than it may be, and held still while somebody reads.

import { element } from "./elements.js";

/** @typedef {import("./elements.js").Delivery} Delivery */
/** @typedef {import("./elements.js").Frame} Frame */
/** @typedef {import("./elements.js").Message} Message */
/** @typedef {{message: Message, line: HTMLTableRowElement, detail: HTMLTableRowElement | null}} Row */

const ROWS = 500; // kept on the page
const WAITING = 2000; // messages kept while nothing is drawn: a hidden tab draws nothing

const rows = element("rows", HTMLTableSectionElement);
const pause = element("pause", HTMLButtonElement);

/** @type {Map<string, Row>} by message id, or record id of a refusal */
const shown = new Map();
/** @type {{waiting: Frame[], count: number, missed: number, drawing: boolean, paused: boolean, total: number}} */
const page = { waiting: [], count: 0, missed: 0, drawing: false, paused: false, total: 0 };

/** @param {Frame} frame */
export function receive(frame) {
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

export function clear() {
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

pause.addEventListener("click", () => {
  page.paused = !page.paused;
  pause.setAttribute("aria-pressed", String(page.paused));
  pause.textContent = page.paused ? "Resume" : "Pause";
  draw();
});

element("clear", HTMLButtonElement).addEventListener("click", clear);

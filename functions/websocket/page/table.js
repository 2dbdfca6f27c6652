// @ts-check
// The table of messages: drawn once a frame of the screen, no longer than it may be, and held still while somebody reads.

import { element } from "./elements.js";

/** @typedef {import("./elements.js").Delivery} Delivery */
/** @typedef {import("./elements.js").Frame} Frame */
/** @typedef {import("./elements.js").Message} Message */
/** @typedef {import("./elements.js").Past} Past */
/** @typedef {{message: Message, line: HTMLTableRowElement, detail: HTMLTableRowElement | null}} Row */

const ROWS = 500; // kept on the page
const WAITING = 2000; // messages kept while nothing is drawn: a hidden tab draws nothing

const rows = element("rows", HTMLTableSectionElement);
const older = element("older", HTMLParagraphElement);
const pause = element("pause", HTMLButtonElement);

/** @type {Map<string, Row>} by message id, or record id of a refusal */
const shown = new Map();
/** @type {{waiting: Frame[], count: number, holds: Set<object>, drawing: boolean, paused: boolean, total: number}} */
const page = { waiting: [], count: 0, holds: new Set(), drawing: false, paused: false, total: 0 };

/** @param {Frame} frame */
export function receive(frame) {
  page.waiting.push(frame);
  page.count += messagesOf(frame).length;
  while (page.count > WAITING && page.waiting.length > 1) {
    const dropped = messagesOf(page.waiting.shift() ?? {}).length;
    page.count -= dropped;
    page.total += dropped;
  }
  draw();
}

/** @param {Frame} frame */
function messagesOf(frame) {
  return [...(frame.past?.messages ?? []), ...(frame.messages ?? [])];
}

/** Frames wait from now on, until what this gives is called, or the table is cleared. */
export function hold() {
  const held = {};
  page.holds.add(held);
  return () => {
    page.holds.delete(held);
    draw();
  };
}

/**
 * What is shown in the place of a frame that waits. Nothing, where it waits no more: the table was cleared.
 * @param {Frame} frame
 * @param {Past} past
 */
export function fill(frame, past) {
  if (!page.waiting.includes(frame)) return;
  frame.past = past;
  page.count += past.messages.length;
}

function draw() {
  if (page.drawing || page.paused || page.holds.size) return showCount();
  page.drawing = true;
  requestAnimationFrame(() => {
    page.drawing = false;
    if (page.paused || page.holds.size) return;
    const frames = page.waiting;
    page.waiting = [];
    page.count = 0;
    for (const frame of frames) {
      if (frame.gap && frame.past) addGap(frame.gap, frame.past);
      else if (frame.past) showOlder(frame.past);
      const messages = messagesOf(frame);
      page.total += messages.length;
      for (const message of messages.slice(-ROWS)) {
        if (!addMessage(message)) page.total -= 1;
      }
      for (const delivery of frame.deliveries ?? []) addDelivery(delivery);
    }
    trim();
    showCount();
  });
}

/**
 * A line on top; whether it is new. A refusal has an id of its own, an identity that was used again another time.
 * @param {Message} message
 */
function addMessage(message) {
  const id = message.record_id ?? message.id;
  if (shown.get(id)?.message.received_at === message.received_at) return false;
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
  shown.set(id, row);
  const last = (message.deliveries ??= []).at(-1);
  if (last) showDelivery(row, last);
  return true;
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
  if (!row || row.message.deliveries.some((known) => sameDelivery(known, delivery))) return;
  row.message.deliveries.push(delivery);
  showDelivery(row, delivery);
  write(row);
}

/**
 * @param {Delivery} one
 * @param {Delivery} other
 */
function sameDelivery(one, other) {
  return one.backbone === other.backbone && one.sequence === other.sequence && one.time === other.time;
}

/**
 * @param {Row} row
 * @param {Delivery} delivery
 */
function showDelivery(row, delivery) {
  const cell = row.line.cells[5];
  cell.textContent = delivery.error ? `${delivery.backbone}: ${delivery.error}` : `${delivery.backbone} #${delivery.sequence}`;
  cell.title = cell.textContent;
  cell.classList.toggle("failed", Boolean(delivery.error));
}

/**
 * A line where something may be missing: the store needn't have all of it yet.
 * @param {{from: string, to: string}} gap
 * @param {Past} past
 */
function addGap(gap, past) {
  const line = document.createElement("tr");
  line.className = "gap";
  const cell = line.insertCell();
  cell.colSpan = 6;
  const shown = past.more ? "The last of them are shown; `switchboard query` has the others." : "What is stored of them is shown.";
  const told = past.problem ? `They can't be shown: ${past.problem}` : shown;
  cell.textContent = `Messages from ${clock(gap.from)} to ${clock(gap.to)} are no longer in the live window. ${told}`;
  rows.prepend(line);
}

/** @param {Past} past */
function showOlder(past) {
  const told = past.problem ? `What was sent before can't be shown: ${past.problem}` : "There may be older ones: `switchboard query` has them.";
  older.textContent = past.more ? told : "";
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
  older.textContent = "";
  page.waiting = [];
  page.holds.clear();
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

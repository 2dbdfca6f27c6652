// @ts-check
// The connection to the feed: opened with the filters, opened again when it breaks, where it was.

import { element } from "./elements.js";
import { filters, stored } from "./past.js";
import { fill, hold, receive } from "./table.js";

/** @typedef {import("./elements.js").Frame} Frame */
/** @typedef {import("./elements.js").Session} Session */

const SILENCE = 40_000; // milliseconds; the server says something every 15 s

const stateLine = element("state", HTMLParagraphElement);

/** @type {{socket: WebSocket | null, cursor: string, tries: number, retry: number, silence: number, signedOut: () => void}} */
const link = { socket: null, cursor: "", tries: 0, retry: 0, silence: 0, signedOut: () => {} };

/**
 * Say what is to be done when nobody is signed in any more.
 * @param {() => void} tell
 */
export function whenSignedOut(tell) {
  link.signedOut = tell;
}

/** The next connection begins at what comes then. */
export function forget() {
  link.cursor = "";
}

/** @returns {Promise<Session | null>} */
export async function currentSession() {
  const answer = await fetch("/v1/session");
  return answer.ok ? answer.json() : null;
}

/**
 * @param {"off" | "trying" | "live"} state
 * @param {string} text
 */
export function setState(state, text) {
  stateLine.dataset.state = state;
  stateLine.textContent = text;
}

export function connect() {
  disconnect();
  setState("trying", "connecting");
  const wanted = filters();
  const query = new URLSearchParams(wanted);
  if (link.cursor) query.set("cursor", link.cursor);
  else query.set("begin", "stored");
  const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/v1/feed?${query}`, "switchboard.feed.v1");
  link.socket = socket;
  let refused = false;
  let begun = Boolean(link.cursor);
  socket.addEventListener("open", () => {
    setState("live", "live");
    listen(socket);
  });
  socket.addEventListener("message", (event) => {
    if (link.socket !== socket) return; // what was on its way when it was let go: of other filters, maybe
    /** @type {Frame} */
    const frame = JSON.parse(event.data);
    listen(socket);
    if (!frame.error) link.tries = 0; // else it would be asked four times a second for what it has no room for
    if (frame.cursor) link.cursor = frame.cursor;
    element("problem", HTMLParagraphElement).textContent = frame.error ? frame.error.detail : "";
    if (frame.error) {
      refused = frame.error.status < 500;
      link.cursor = "";
    } else if (!frame.heartbeat) {
      receive(frame);
      if (frame.gap || !begun) void show(frame, wanted);
      begun = true;
    }
  });
  socket.addEventListener("close", () => {
    if (link.socket === socket) void comeBack(refused);
  });
}

/**
 * What is stored, in the place of a frame: the feed's first one, or a gap. It has what comes behind it wait, so that nothing is missing in
 * between; the table shows nothing twice.
 * @param {Frame} frame
 * @param {URLSearchParams} wanted
 */
async function show(frame, wanted) {
  const release = hold();
  fill(frame, await stored(wanted, frame.gap));
  release();
}

export function disconnect() {
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
    if (!session) return link.signedOut();
    if (refused) return setState("off", "refused");
  } catch {
    setState("trying", "no answer, trying again");
  }
  const wait = Math.min(250 * 2 ** link.tries, 10_000) * (0.75 + Math.random() / 2);
  link.tries += 1;
  link.retry = window.setTimeout(connect, wait);
}

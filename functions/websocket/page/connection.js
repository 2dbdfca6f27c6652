// @ts-check
// The connection to the feed: opened with the filters, opened again when it breaks, where it was.

import { element } from "./elements.js";
import { receive } from "./table.js";

/** @typedef {import("./elements.js").Frame} Frame */
/** @typedef {import("./elements.js").Session} Session */

const SILENCE = 40_000; // milliseconds; the server says something every 15 s

const filters = element("filters", HTMLFormElement);
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

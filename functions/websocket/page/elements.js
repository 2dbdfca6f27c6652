// @ts-check
// What the page is made of: its elements, and what the feed sends (contracts.md, "Watching").

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
 * @property {string} [record_id]
 * @property {Delivery[]} deliveries
 */
/** @typedef {{messages: Message[], more: boolean, problem: string}} Past stored ones, oldest first; whether there may be older ones */
/** @typedef {{principal: string, org: string}} Session */
/**
 * @typedef {object} Frame
 * @property {string} [cursor]
 * @property {Message[]} [messages]
 * @property {Delivery[]} [deliveries]
 * @property {{from: string, to: string}} [gap]
 * @property {string} [heartbeat]
 * @property {Past} [past]
 * @property {{title: string, detail: string, status: number}} [error]
 */

/**
 * The element of that id.
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function element(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`no ${id}`);
  return found;
}

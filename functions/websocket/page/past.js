// @ts-check
// What was sent before the feed began: the newest messages of the query that fit the same filters (contracts.md, "Query").

import { element } from "./elements.js";

/** @typedef {import("./elements.js").Message} Message */
/** @typedef {import("./elements.js").Past} Past */

const MESSAGES = 50;
const PATIENCE = 8_000; // milliseconds; with a filter the query looks for 5 s
const SLACK = 10_000; // milliseconds by which a message may have been received before it was logged: a gap's times are the log's

/** What the form says: filters of the feed, by name. */
export function filters() {
  const wanted = new URLSearchParams();
  for (const [name, value] of new FormData(element("filters", HTMLFormElement))) {
    if (typeof value === "string" && value.trim()) wanted.set(name, value.trim());
  }
  return wanted;
}

/**
 * The newest stored messages, oldest first; those of a gap where there is one. What the feed has and the store doesn't yet is not among them.
 * @param {URLSearchParams} wanted the feed's filters
 * @param {{from: string, to: string}} [gap]
 * @returns {Promise<Past>}
 */
export async function stored(wanted, gap) {
  const query = new URLSearchParams({ limit: String(MESSAGES) });
  for (const name of ["topic", "subject", "verdict", "filter"]) {
    const value = wanted.get(name);
    if (value && !(name === "subject" && (value === "*" || value === ">"))) query.set(name, value); // to the query a subject is a text
  }
  if (gap) {
    query.set("since", new Date(new Date(gap.from).getTime() - SLACK).toISOString());
    query.set("until", gap.to);
  }
  try {
    const answer = await fetch(`/v1/messages?${query}`, { signal: AbortSignal.timeout(PATIENCE) });
    const body = await answer.json();
    if (!answer.ok) return { messages: [], more: true, problem: String(body.detail ?? body.title) };
    return { messages: body.items.reverse(), more: body.next !== null, problem: "" };
  } catch {
    return { messages: [], more: true, problem: "the query does not answer" };
  }
}

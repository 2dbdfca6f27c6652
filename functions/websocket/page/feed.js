// @ts-check
// The live feed of contracts.md, "Watching": sign in, watch, filter. No framework, no build step.

import { connect, currentSession, disconnect, forget, setState, whenSignedOut } from "./connection.js";
import { element } from "./elements.js";
import { clear } from "./table.js";

/** @typedef {import("./elements.js").Session} Session */

const signIn = element("sign-in", HTMLFormElement);

let shownTo = ""; // whom the table was filled for

/** @param {Session | null} session */
function showSession(session) {
  signIn.hidden = session !== null;
  element("feed", HTMLElement).hidden = session === null;
  element("sign-out", HTMLButtonElement).hidden = session === null;
  const who = session ? `${session.principal} · ${session.org}` : "";
  element("who", HTMLParagraphElement).textContent = who;
  if (session) {
    if (shownTo !== who) { // a session that ended by itself left its messages here
      forget();
      clear();
    }
    shownTo = who;
    connect();
  } else {
    disconnect();
    setState("off", "signed out");
    element("key", HTMLInputElement).focus();
  }
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
  forget();
  clear();
  showSession(null);
});

element("filters", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  forget();
  clear();
  connect();
});

whenSignedOut(() => showSession(null));

currentSession().then(showSession, () => {
  setState("off", "no answer");
  signIn.hidden = false;
});

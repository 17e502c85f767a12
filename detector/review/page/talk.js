// Talks to the program: what there is, and changes, one after the other, each sent until it is answered.
const PATIENCE_MS = 20000, AGAIN_MS = 800, FOLLOW_MS = 3000;

export const review = { version: -1, fields: [], smears: new Map(), classes: [], colours: [] };
const listeners = new Set();
let queue = Promise.resolve(), waiting = 0;

export const at = id => document.getElementById(id);

export function say(words, bad = false) {
  at("say").textContent = words;
  at("say").classList.toggle("bad", bad);
}

/** Call `listener(numbers of changed fields, whether this page changed them)` after each change. */
export function follow(listener) {
  listeners.add(listener);
}

export async function answerOf(response) {
  const content = await response.json();
  if (response.ok) return content;
  throw Object.assign(new Error(content.error || `refused (${response.status})`), { stale: content.stale, refused: true });
}

export async function get(path, patience = PATIENCE_MS) {
  return answerOf(await fetch(path, { signal: AbortSignal.timeout(patience) }));
}

async function post(path, body) {
  for (let tries = 0; ; tries++) {
    try {
      const response = await fetch(path, { method: "POST", body: JSON.stringify(body), signal: AbortSignal.timeout(PATIENCE_MS) });
      const content = await answerOf(response);
      if (tries) say("saved");
      return content;
    } catch (error) {
      if (error.refused) throw error;
      say("not saved yet: the program does not answer; trying again. If it has ended, start it again and open its new address", true);
      await new Promise(done => setTimeout(done, AGAIN_MS));
    }
  }
}

function identity() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map(byte => byte.toString(16).padStart(2, "0")).join("");
}

function takeIn(answer, own) {
  if (answer.version < review.version) return [];
  for (const field of answer.fields) review.fields[field.field] = field;
  for (const smear of answer.smears) review.smears.set(smear.smear, smear);
  review.version = answer.version;
  review.remarks = answer.remarks;
  const numbers = answer.fields.map(field => field.field);
  if (numbers.length) for (const listener of listeners) listener(numbers, own);
  return numbers;
}

function inTurn(task) {
  waiting += 1;
  const turn = queue.then(task).finally(() => { waiting -= 1; });
  queue = turn.catch(() => {});
  return turn;
}

/** Send what `build` gives when its turn has come; gives whether it was made. */
export function change(build) {
  return inTurn(async () => {
    const wanted = build();
    if (!wanted) return false;
    const fields = (wanted.fields || []).map(one => ({ ...one, revision: review.fields[one.field].revision }));
    try {
      takeIn(await post("change", { ...wanted, fields, id: identity(), by: reader(), since: review.version }), true);
      return true;
    } catch (error) {
      if (error.stale) takeIn(await get(`state.json?since=${review.version}`), false);
      say(error.message, true);
      return false;
    }
  });
}

export function step(path) {
  return inTurn(async () => {
    try {
      const answer = await post(path, { id: identity(), by: reader(), since: review.version });
      takeIn(answer, false);
      say(path === "undo" ? "undone" : "made again");
      return answer.field;
    } catch (error) {
      say(error.message, true);
      return -1;
    }
  });
}

/** Write the results; sent once and without a bound in time, for a dataset of many fields takes minutes. */
export function write(wanted) {
  return inTurn(async () => {
    let response;
    try {
      response = await fetch("write", { method: "POST", body: JSON.stringify(wanted) });
    } catch {
      throw new Error("the program does not answer, so it is not known whether the results were written");
    }
    return answerOf(response);
  });
}

export function reader() {
  return at("reader").value;
}

async function watch() {
  try {
    if (!waiting) takeIn(await get(`state.json?since=${review.version}`), false);
    if (at("say").dataset.lost) say("the program answers again");
    delete at("say").dataset.lost;
  } catch {
    at("say").dataset.lost = "yes";
    say("the program does not answer: it has ended, or the connection is lost", true);
  }
  setTimeout(watch, FOLLOW_MS);
}

export async function begin() {
  const answer = await get("state.json");
  Object.assign(review, { folder: answer.folder, classes: answer.classes, colours: answer.colours, crop_px: answer.crop_px, in_list: answer.in_list, start: answer.start, formats: answer.formats });
  at("reader").value = answer.reader;
  takeIn(answer, false);
  setTimeout(watch, FOLLOW_MS);
  addEventListener("beforeunload", event => { if (waiting) event.preventDefault(); });
}

// A value in the middle goes to the even digit, as in the tables and the report.
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0, roundingMode: "halfEven" });
const threeDigits = new Intl.NumberFormat("en", { maximumSignificantDigits: 3, roundingMode: "halfEven" });

export function short(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size >= 1e12) return value.toExponential(2);
  // All its digits: as a number, 14.35 were a middle, which it is not quite.
  return (size >= 100 ? whole : threeDigits).format(value.toPrecision(40));
}

export function element(name, words, classes) {
  const made = document.createElement(name);
  if (words !== undefined) made.textContent = words;
  if (classes) made.className = classes;
  return made;
}

/** A table's cell with a value and its interval below it. */
export function estimate(three) {
  const cell = element("td", three ? short(three[0]) : "–");
  if (three && three[1] !== null) cell.append(element("span", `${short(three[1])}–${short(three[2])}`));
  return cell;
}

export function swatch(label) {
  const mark = element("span", undefined, "swatch");
  mark.style.background = review.colours[label];
  return mark;
}

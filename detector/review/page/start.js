// The page before there is a count: folders, the progress of a count, and the way to its review.
import { answerOf, at, element, say } from "./talk.js";

const LOOK_MS = 500, AGAIN_MS = 3000;
let chosen = "", watched = "";

async function ask(path, body = {}) {
  return answerOf(await fetch(path, { method: "POST", body: JSON.stringify(body) }));
}

/** Do something that the program may refuse, and say why. */
async function attempt(act) {
  try {
    return await act();
  } catch (error) {
    say(error.refused ? error.message : "the program does not answer: it has ended, or the connection is lost", true);
    return null;
  }
}

const many = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

async function show(folder) {
  const answer = await attempt(() => ask("folder", folder ? { folder } : {}));
  if (!answer) return;
  say("");
  chosen = answer.folder;
  at("path").value = answer.folder;
  at("parents").replaceChildren(...answer.parents.map(step), element("span", base(chosen)));
  at("inner").replaceChildren(...answer.folders.map(row));
  at("empty").hidden = answer.folders.length > 0;
  at("chosen-name").textContent = base(chosen);
  at("holds").textContent = answer.is_run ? "Holds the results of a count." : holds(answer);
  at("count").hidden = answer.is_run;
  at("count").disabled = Boolean(watched);
  at("count").classList.toggle("main", !answer.counts.length);
  at("count").textContent = answer.counts.length ? "Count anew" : "Count";
  at("open").hidden = !answer.is_run;
  at("counts").replaceChildren(...answer.counts.map(earlier));
  at("earlier").hidden = !answer.counts.length;
}

const base = path => path.split(/[\\/]/).filter(Boolean).pop() || path;

function step(parent) {
  const button = element("button", parent.name);
  button.type = "button";
  button.addEventListener("click", () => show(parent.path));
  return button;
}

function row(folder) {
  const item = element("li"), button = item.appendChild(element("button"));
  button.type = "button";
  button.append(element("b", folder.name), element("span", folder.is_run ? "a count" : about(folder)));
  button.addEventListener("click", () => show(folder.path));
  return item;
}

function about(folder) {
  if (folder.pictures === null) return "";
  const parts = [folder.pictures && many(folder.pictures, "picture"), folder.folders && many(folder.folders, "folder")].filter(Boolean);
  return parts.length ? parts.join(", ") : "no pictures";
}

/** What a count of the folder would find, as far as it was looked. */
function holds(answer) {
  const inner = answer.folders.filter(folder => !folder.is_run), below = inner.reduce((sum, folder) => sum + (folder.pictures || 0), 0);
  const deeper = inner.some(folder => folder.folders || folder.pictures === null) ? ", and what lies deeper" : "";
  return `${many(answer.pictures, "picture")} in it, ${below.toLocaleString("en")} in its folders${deeper}. Each folder is counted as one smear.`;
}

function earlier(count) {
  const item = element("li"), button = item.appendChild(element("button", "Open", "main"));
  button.type = "button";
  const when = new Date(count.finished).toLocaleString("sv").slice(0, 16);
  button.setAttribute("aria-label", `Open the count of ${when}`);
  button.addEventListener("click", () => open(count.path));
  item.append(element("span", `${when}, ${many(count.fields, "field")}`));
  return item;
}

async function open(folder) {
  say("opening");
  const answer = await attempt(() => ask("open", { folder }));
  if (answer) location.assign(answer.run);
}

async function count() {
  say("");
  const answer = await attempt(() => ask("count", { folder: chosen }));
  if (!answer) return;
  watched = answer.folder;
  tell(answer);
}

// A count that goes on, also one that another page began

function tell(work) {
  const going = ["searching", "counting"].includes(work.phase);
  at("progress").hidden = !going;
  at("count").disabled = going;
  if (going) {
    watched = work.folder;
    at("counted-name").textContent = base(work.folder);
    if (work.total) Object.assign(at("bar"), { max: work.total, value: work.done });
    else at("bar").removeAttribute("value");
    at("done").textContent = work.total ? `${Math.floor(work.done)} of ${many(work.total, "field")}, ${Math.round(work.seconds)} s` : "looking for pictures and loading the model";
    return;
  }
  at("cancel").disabled = false;
  if (watched !== work.folder) return;
  watched = "";
  if (work.phase === "done") location.assign(work.run);
  if (work.phase === "failed") say(work.error, true);
  if (work.phase === "cancelled") say("cancelled; Count goes on with the fields that are left");
}

async function watch() {
  let wait = LOOK_MS;
  try {
    tell(await ask("work"));
  } catch {
    if (watched) say("the program does not answer: it has ended, or the connection is lost", true);
    wait = AGAIN_MS;
  }
  setTimeout(watch, wait);
}

at("go").addEventListener("submit", event => {
  event.preventDefault();
  show(at("path").value);
});
at("count").addEventListener("click", count);
at("open").addEventListener("click", () => open(chosen));
at("cancel").addEventListener("click", () => {
  at("cancel").disabled = true;
  say("cancelling");
  attempt(() => ask("cancel"));
});
show("");
watch();

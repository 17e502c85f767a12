// The page: its views, its keys, and what is signed and written.
import * as cells from "./cells.js";
import * as fields from "./fields.js";
import { at, begin, change, element, estimate, follow, review, say, short, step, swatch, write } from "./talk.js";

const VIEWS = { cells, fields, smears: { show() {}, key() { return false; } } };
let view = "";

function go(name) {
  if (!(name in VIEWS)) name = "cells";
  if (name === view) return;
  view = name;
  for (const other of Object.keys(VIEWS)) {
    at(other).hidden = other !== name;
    const link = document.querySelector(`[data-view=${other}]`);
    if (other === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (location.hash !== `#${name}`) history.replaceState(null, "", `#${name}`);
  VIEWS[name].show();
}

async function stepped(path) {
  const field = await step(path);
  if (view === "fields" && field >= 0) fields.open(field);
}

function smears() {
  at("smear-rows").replaceChildren(...[...review.smears.values()].sort((a, b) => (a.smear < b.smear ? -1 : 1)).flatMap(rowsOf));
}

function rowsOf(smear) {
  return review.classes.map((name, i) => {
    const row = element("tr"), count = smear.classes[name];
    if (!i) {
      const head = row.appendChild(element("th", smear.smear));
      Object.assign(head, { scope: "rowgroup", rowSpan: review.classes.length });
    }
    const kind = row.appendChild(element("th"));
    kind.scope = "row";
    kind.append(swatch(i), name);
    row.append(element("td", smear.fields ? short(count.total) : "–"), estimate(count.mean), estimate(count.per_1000_rbc), estimate(count.per_ul));
    if (!i) row.append(lookedCell(smear), signedCell(smear));
    return row;
  });
}

function lookedCell(smear) {
  const cell = element("td", `${smear.looked} of ${smear.fields}`);
  cell.rowSpan = review.classes.length;
  if (smear.unread) cell.append(element("span", `${smear.unread} not read`));
  if (smear.doubtful) cell.append(element("span", `${smear.doubtful} doubtful`));
  return cell;
}

function signedCell(smear) {
  const cell = element("td", smear.signed ? smear.signed.by : undefined);
  cell.rowSpan = review.classes.length;
  if (smear.signed) cell.append(element("span", fields.when(smear.signed.at)));
  const button = cell.appendChild(element("button", smear.signed ? "Take back" : "Mark as reviewed"));
  button.type = "button";
  button.setAttribute("aria-label", `${button.textContent}: ${smear.smear}`);
  button.disabled = !smear.signed && (smear.looked < smear.fields || !smear.fields);
  if (button.disabled) button.title = "Look at each of its fields first";
  button.addEventListener("click", async () => {
    const signed = !smear.signed;
    if (await change(() => ({ smears: [{ smear: smear.smear, signed }] }))) say(signed ? `${smear.smear} is marked as reviewed` : "mark taken back");
  });
  return cell;
}

async function writeResults() {
  at("write").disabled = true;
  say("writing");
  try {
    const formats = [...at("formats").querySelectorAll(":checked")].map(box => box.value);
    const { written, remarks } = await write({ dataset: at("dataset").checked, pdf: at("pdf").checked, formats });
    at("written").textContent = `Written: ${written.join(", ")}`;
    at("write-remarks").replaceChildren(...remarks.map(remark => element("li", remark)));
    at("write-remarks").hidden = !remarks.length;
    say("results are written");
  } catch (error) {
    say(error.message, true);
  }
  at("write").disabled = false;
}

function formats() {
  at("formats").append(...Object.entries(review.formats).map(([name, about]) => {
    const label = element("label"), box = label.appendChild(document.createElement("input"));
    Object.assign(box, { type: "checkbox", value: name });
    label.append(` ${name}: ${about}`);
    return label;
  }));
}

function remarks() {
  at("remarks").hidden = !review.remarks.length;
  at("remarks").textContent = review.remarks.join(" ");
}

/** Keys that a control needs itself are left to it. */
function isItsOwn(event) {
  const target = event.target;
  if (target.closest("dialog")) return true;
  if (target.matches("select, textarea, input:not([type=radio], [type=checkbox])")) return true;
  return target.matches("button, a, input, summary") && [" ", "Enter", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].includes(event.key);
}

function pressed(event) {
  if (event.defaultPrevented || isItsOwn(event)) return;
  const word = event.key.toLowerCase(), control = event.ctrlKey || event.metaKey;
  if (word === "z" && !event.altKey) stepped(event.shiftKey ? "redo" : "undo");
  else if (word === "y" && !event.altKey) stepped("redo");
  else if (event.key === "?") at("help").showModal();
  else if (VIEWS[view].key(event)) { /* done there */ } else if (!control && !event.altKey && { c: 1, f: 1, s: 1 }[word]) go({ c: "cells", f: "fields", s: "smears" }[word]);
  else return;
  event.preventDefault();
}

async function start() {
  try {
    await begin();
  } catch (error) {
    return say(`the program does not answer: ${error.message}`, true);
  }
  at("folder").textContent = review.folder;
  at("start").hidden = !review.start;
  if (review.start) at("start").href = review.start;
  document.title = `${review.folder.split(/[\\/]/).pop()}: review`;
  fields.start();
  cells.start((field, cell) => {
    go("fields");
    fields.open(field, cell);
  });
  follow(smears);
  follow(remarks);
  formats();
  smears();
  remarks();
  at("undo").addEventListener("click", () => stepped("undo"));
  at("redo").addEventListener("click", () => stepped("redo"));
  at("keys").addEventListener("click", () => at("help").showModal());
  at("write").addEventListener("click", writeResults);
  addEventListener("hashchange", () => go(location.hash.slice(1)));
  addEventListener("keydown", pressed);
  go(location.hash.slice(1));
}

start();

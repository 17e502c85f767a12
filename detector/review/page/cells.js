// The grid of cells: only the rows in view are elements, so that a hundred thousand cells scroll.
import { at, change, element, follow, get, review, say, swatch } from "./talk.js";

const TILE = 108, GAP = 6, SPARE_ROWS = 3, CLICK_PX = 5, EDGE_PX = 30, LOOK_MS = 400, ORDERING_MS = 120000;
const REMOVED = -1, WAIT = "other cells are on their way; nothing was changed";
const grid = at("grid"), rows = at("rows"), band = at("band");

// Parallel arrays of the cells in their order; a removed cell has the label REMOVED and stays in its place.
let field = [], cell = [], label = [], score = [], crop = [];
let selected = new Set(), current = 0, anchor = 0, columns = 1, pool = new Map(), strips = new Map(), drawn = [0, 0], openField = () => {};
let asked = 0;
/** Class and order of the cells that are there. */
let chosen = { class: 1, sort: "doubt" };
/** Whether other cells are on their way: until they are there, nothing is changed, for nobody sees what. */
let loading = false;
/** The review's version that the cells are of, and whether those that were changed since are being asked for. */
let version = -1, following = false;
/** Numbers of the field and of the cell that others are compared with. */
let like = null;
const ORDERS = { doubt: "the most doubtful first", score: "the least score first", size: "the smallest first", field: "field by field",
  likeness: "like ones together", like: "the most alike first" };

export function start(open) {
  openField = open;
  const classes = at("classes");
  [...review.classes, "all"].forEach((name, number) => {
    const value = number < review.classes.length ? number : -1;
    const shown = classes.appendChild(element("label"));
    const input = shown.appendChild(document.createElement("input"));
    Object.assign(input, { type: "radio", name: "class", value, checked: value === chosen.class });
    if (value >= 0) shown.append(swatch(value));
    shown.append(name, element("span", "", "number"));
  });
  actions(at("cell-actions"), relabel, remove);
  at("choice").addEventListener("submit", event => event.preventDefault());
  at("choice").addEventListener("change", event => {
    load();
    // Chosen by the mouse, for otherwise the next arrow key would choose another class.
    if (event.target.name === "class" && !event.target.matches(":focus-visible")) grid.focus({ preventScroll: true });
  });
  at("more").addEventListener("click", more);
  grid.addEventListener("scroll", () => requestAnimationFrame(() => draw(false)), { passive: true });
  new ResizeObserver(layOut).observe(grid);
  grid.addEventListener("pointerdown", press);
  grid.addEventListener("click", event => { if (event.pointerType === "touch") click(event, true); });
  grid.addEventListener("dblclick", event => {
    const index = indexAt(event);
    if (index >= 0) openField(field[index], cell[index]);
  });
  grid.addEventListener("focus", () => draw());
  follow(refresh);
  tally();
  load();
}

/** Buttons for the classes and for removing. */
export function actions(place, onLabel, onRemove) {
  review.classes.forEach((name, number) => {
    const button = place.appendChild(element("button"));
    button.type = "button";
    button.title = `${name} (${number + 1})`;
    button.append(swatch(number), name);
    button.addEventListener("click", () => onLabel(number));
  });
  const button = place.appendChild(element("button", "Remove"));
  button.type = "button";
  button.title = "No cell: remove (X)";
  button.addEventListener("click", () => onRemove());
}

/** Address of the cells of a class in their order. */
function listed({ class: number, sort }) {
  return `cells.json?class=${number}&sort=${sort === "like" ? `likeness&f=${like[0]}&c=${like[1]}` : sort}`;
}

/** The cells; where they are to be compared first, the program is asked until it has done so. */
async function ordered(wanted, turn) {
  const path = listed(wanted);
  for (;;) {
    const answer = await get(path, ORDERING_MS);
    if (answer.cells || turn !== asked) return answer;
    say(`comparing cells: ${answer.done.toLocaleString("en")} of ${answer.total.toLocaleString("en")} fields`);
    await new Promise(done => setTimeout(done, LOOK_MS));
  }
}

/** Show the cells that look like the current one. */
function more() {
  if (loading) return say(WAIT);
  if (!cell.length) return;
  like = [field[current], cell[current]];
  at("like").hidden = at("like").disabled = false;
  at("sort").value = "like";
  return load().then(() => { if (at("sort").value === "like") say("the cells most like the first one come first; sort by something else to see all again"); });
}

async function load() {
  const turn = ++asked, choice = at("choice").elements, wanted = { class: Number(choice.class.value), sort: choice.sort.value };
  busy(true);
  let answer;
  try {
    answer = await ordered(wanted, turn);
  } catch (error) {
    if (turn !== asked) return;
    busy(false);
    choice.class.value = chosen.class;
    choice.sort.value = chosen.sort;
    return say(error.message, true);
  }
  if (turn !== asked) return;
  const count = answer.cells.length / review.in_list;
  [field, cell, label, score, crop] = Array.from({ length: review.in_list }, (_, offset) => Int32Array.from({ length: count }, (_, i) => answer.cells[review.in_list * i + offset]));
  [version, chosen] = [answer.version, wanted];
  selected.clear();
  current = anchor = 0;
  grid.scrollTop = 0;
  if (at("say").textContent.startsWith("comparing")) say("");
  grid.setAttribute("aria-label", `Cells, ${ORDERS[chosen.sort]}`);
  busy(false);
  empty();
  arrange();
  if (version < review.version) refresh();
}

function busy(is) {
  loading = is;
  if (is) grid.setAttribute("aria-busy", "true");
  else grid.removeAttribute("aria-busy");
}

/** Show the cells, or say why there are none. */
function arrange() {
  at("none").hidden = cell.length > 0;
  const counted = review.fields.some(one => one.counts && (chosen.class < 0 ? one.counts.some(Boolean) : one.counts[chosen.class]));
  at("none").textContent = counted ? "Its cells cannot be shown: the pictures of their fields are missing. Each field says why." : "There is no cell of this class.";
  grid.hidden = !cell.length;
  layOut();
}

function empty() {
  for (const tile of pool.values()) tile.remove();
  pool.clear();
  for (const row of strips.keys()) drop(row);
}

/** The pictures of a row's cells are one, for asking for a picture costs more than showing it. */
function picture(row) {
  const from = row * columns, indices = Array.from({ length: Math.min(columns, cell.length - from) }, (_, i) => from + i), strip = new Image();
  strips.set(row, strip);
  strip.src = `crops.jpg?of=${indices.map(index => `${field[index]}.${cell[index]}.${crop[index]}`).join()}`;
  // Decoded beside the page, and only then shown.
  strip.decode().then(() => {
    if (strips.get(row) !== strip) return;
    for (const index of indices) pool.get(index).firstChild.style.backgroundImage = `url("${strip.src}")`;
  }, () => {});
}

function drop(row) {
  strips.get(row).src = "";
  strips.delete(row);
}

function layOut() {
  if (!grid.clientWidth) return;
  const fitting = Math.max(1, Math.floor((grid.clientWidth - GAP) / (TILE + GAP)));
  if (fitting !== columns) {
    columns = fitting;
    empty();
  }
  rows.style.height = `${Math.ceil(cell.length / columns) * (TILE + GAP) + GAP}px`;
  draw();
}

/** Bring the rows in view into the grid; without `again`, tiles that are there stay as they are. */
function draw(again = true) {
  const top = grid.scrollTop, from = Math.max(0, Math.floor(top / (TILE + GAP)) - SPARE_ROWS);
  const to = Math.min(Math.ceil(cell.length / columns), Math.ceil((top + grid.clientHeight) / (TILE + GAP)) + SPARE_ROWS);
  if (!again && from === drawn[0] && to === drawn[1]) return;
  drawn = [from, to];
  const first = from * columns, last = Math.min(cell.length, to * columns);
  for (const [index, tile] of pool) {
    if (index < first || index >= last) {
      tile.remove();
      pool.delete(index);
    }
  }
  for (const row of strips.keys()) if (row < from || row >= to) drop(row);
  const added = document.createDocumentFragment();
  for (let index = first; index < last; index++) {
    const there = pool.has(index);
    if (!there) {
      pool.set(index, made(index));
      added.append(pool.get(index));
    }
    if (again || !there) mark(index);
  }
  rows.append(added);
  for (let row = from; row < to; row++) if (!strips.has(row)) picture(row);
  if (pool.has(current)) grid.setAttribute("aria-activedescendant", `cell-${current}`);
  else grid.removeAttribute("aria-activedescendant");
  tell();
}

function made(index) {
  const tile = element("div", undefined, "tile");
  tile.id = `cell-${index}`;
  tile.setAttribute("role", "option");
  tile.style.transform = `translate(${GAP + (index % columns) * (TILE + GAP)}px, ${GAP + Math.floor(index / columns) * (TILE + GAP)}px)`;
  tile.dataset.cell = `${field[index]}.${cell[index]}`;
  tile.appendChild(element("div", undefined, "crop")).style.backgroundPositionX = `${-review.crop_px * (index % columns)}px`;
  tile.append(element("span", undefined, "class"), element("span", (score[index] / 1000).toFixed(2), "score"));
  return tile;
}

function mark(index) {
  const tile = pool.get(index), removed = label[index] === REMOVED;
  const name = removed ? "removed" : review.classes[label[index]];
  tile.setAttribute("aria-selected", selected.has(index));
  tile.setAttribute("aria-label", `${name}, score ${(score[index] / 1000).toFixed(2)}, ${review.fields[field[index]].name}`);
  tile.classList.toggle("current", index === current);
  tile.classList.toggle("removed", removed);
  tile.children[1].textContent = name;
  tile.style.setProperty("--class", removed ? "transparent" : review.colours[label[index]]);
}

function tell() {
  const words = cell.length ? `${selected.size.toLocaleString("en")} of ${cell.length.toLocaleString("en")} selected` : "";
  if (at("chosen").textContent !== words) at("chosen").textContent = words;
}

function tally() {
  const totals = review.classes.map((_, i) => review.fields.reduce((sum, one) => sum + (one.counts ? one.counts[i] : 0), 0));
  const numbers = [...totals, totals.reduce((a, b) => a + b, 0)];
  at("classes").querySelectorAll(".number").forEach((place, i) => { place.textContent = numbers[i].toLocaleString("en"); });
}

// Changes

function send(what, after) {
  if (loading) return say(WAIT);
  const indices = (selected.size ? [...selected] : cell.length ? [current] : []).filter(index => label[index] !== REMOVED && label[index] !== after);
  if (!indices.length) return say("there is nothing to change in what is chosen");
  const byField = new Map();
  for (const index of indices) {
    if (!byField.has(field[index])) byField.set(field[index], []);
    byField.get(field[index]).push({ cell: cell[index], ...what });
  }
  return change(() => ({ fields: [...byField].map(([number, cells]) => ({ field: number, cells })) })).then(done => {
    if (done) say(`${indices.length.toLocaleString("en")} ${indices.length === 1 ? "cell" : "cells"}: ${after === REMOVED ? "removed" : review.classes[after]}`);
  });
}

function relabel(number) {
  return send({ label: number }, number);
}

function remove() {
  return send({ removed: true }, REMOVED);
}

/** Show what became of cells that were changed, here, by undo, among the fields, or on another page. */
async function refresh() {
  tally();
  if (following) return;
  following = true;
  try {
    while (!loading && version < review.version) {
      const turn = asked, answer = await get(`cells.json?since=${version}`);
      if (turn === asked) takeIn(answer);
    }
  } catch (error) {
    say(error.message, true);
  }
  following = false;
}

/** Cells stay in their places, and those that come to the class that is shown follow after the last one. */
function takeIn(answer) {
  version = answer.version;
  const changed = new Set(answer.fields), now = new Map(), each = review.in_list;
  for (let from = 0; from < answer.cells.length; from += each) now.set(`${answer.cells[from]}.${answer.cells[from + 1]}`, from);
  for (let i = 0; i < cell.length; i++) {
    if (!changed.has(field[i])) continue;
    const name = `${field[i]}.${cell[i]}`, from = now.get(name);
    label[i] = from === undefined ? REMOVED : answer.cells[from + 2];
    now.delete(name);
    if (from === undefined || crop[i] === answer.cells[from + 4]) continue;
    crop[i] = answer.cells[from + 4];
    renew(Math.floor(i / columns));
  }
  const others = [...now.values()].filter(from => chosen.class < 0 || answer.cells[from + 2] === chosen.class);
  if (!others.length) return draw();
  renew(Math.floor(cell.length / columns));
  [field, cell, label, score, crop] = [field, cell, label, score, crop].map((column, offset) => {
    const longer = new Int32Array(column.length + others.length);
    longer.set(column);
    longer.set(others.map(from => answer.cells[from + offset]), column.length);
    return longer;
  });
  arrange();
}

/** Make a row anew when it is drawn next. */
function renew(row) {
  for (let index = row * columns; index < (row + 1) * columns; index++) {
    pool.get(index)?.remove();
    pool.delete(index);
  }
  if (strips.has(row)) drop(row);
}

// Mouse

function placeOf(event) {
  const box = grid.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top + grid.scrollTop];
}

function indexAt(event) {
  const [x, y] = placeOf(event), column = Math.floor((x - GAP) / (TILE + GAP));
  const index = Math.floor((y - GAP) / (TILE + GAP)) * columns + column;
  return column >= 0 && column < columns && index >= 0 && index < cell.length ? index : -1;
}

function press(event) {
  if (loading || event.button || event.clientX - grid.getBoundingClientRect().left > grid.clientWidth) return;
  // A finger scrolls; what it taps comes as a click.
  if (event.pointerType === "touch") return;
  event.preventDefault();
  grid.focus({ preventScroll: true });
  const from = placeOf(event), before = event.ctrlKey || event.metaKey ? new Set(selected) : new Set();
  let latest = event, dragged = false, running = true;
  grid.setPointerCapture(event.pointerId);
  const step = () => {
    if (!running) return;
    const box = grid.getBoundingClientRect();
    if (dragged) {
      if (latest.clientY < box.top + EDGE_PX) grid.scrollTop -= 12;
      if (latest.clientY > box.bottom - EDGE_PX) grid.scrollTop += 12;
      stretch(from, placeOf(latest), before);
    }
    requestAnimationFrame(step);
  };
  const move = moved => {
    latest = moved;
    const [x, y] = placeOf(moved);
    dragged ||= Math.abs(x - from[0]) > CLICK_PX || Math.abs(y - from[1]) > CLICK_PX;
    if (dragged) stretch(from, [x, y], before);
  };
  const end = ended => {
    running = false;
    band.hidden = true;
    grid.removeEventListener("pointermove", move);
    if (!dragged) click(event, event.ctrlKey || event.metaKey);
    else move(ended);
    band.hidden = true;
  };
  grid.addEventListener("pointermove", move);
  grid.addEventListener("pointerup", end, { once: true });
  grid.addEventListener("pointercancel", end, { once: true });
  step();
}

function stretch(from, to, before) {
  const [left, right] = [from[0], to[0]].sort((a, b) => a - b), [top, bottom] = [from[1], to[1]].sort((a, b) => a - b);
  Object.assign(band.style, { left: `${left}px`, top: `${top}px`, width: `${right - left}px`, height: `${bottom - top}px` });
  band.hidden = false;
  selected = new Set(before);
  const side = TILE + GAP;
  for (let row = Math.max(0, Math.ceil((top - side) / side)); row <= Math.floor((bottom - GAP) / side); row++) {
    for (let column = Math.max(0, Math.ceil((left - side) / side)); column <= Math.min(columns - 1, Math.floor((right - GAP) / side)); column++) {
      const index = row * columns + column;
      if (index < cell.length) selected.add(index);
    }
  }
  draw();
}

function click(event, more) {
  const index = indexAt(event);
  if (loading || index < 0) return;
  if (event.shiftKey) range(anchor, index);
  else if (more) toggle(index);
  else selected = new Set([index]);
  if (!event.shiftKey) anchor = index;
  current = index;
  draw();
}

function range(from, to) {
  selected = new Set();
  for (let i = Math.min(from, to); i <= Math.max(from, to); i++) selected.add(i);
}

function toggle(index) {
  if (!selected.delete(index)) selected.add(index);
}

// Keys

/** What a key does here; gives whether it does anything. */
export function key(event) {
  if (loading) {
    if (review.classes[Number(event.key) - 1] || ["x", "Delete"].includes(event.key)) say(WAIT);
    return false;
  }
  const page = Math.max(1, Math.floor(grid.clientHeight / (TILE + GAP))) * columns;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, PageUp: -page, PageDown: page, Home: -current, End: cell.length };
  const word = event.key.toLowerCase();
  if ((event.ctrlKey || event.metaKey) && word === "a") selected = new Set(cell.keys());
  else if (event.ctrlKey || event.metaKey || event.altKey || !cell.length) return false;
  else if (event.key in steps) {
    if (event.key.startsWith("Page")) grid.scrollTop += Math.sign(steps[event.key]) * page / columns * (TILE + GAP);
    go(steps[event.key], event.shiftKey);
  }
  else if (event.key === " ") toggle(current);
  else if (event.key === "Escape") selected.clear();
  else if (event.key === "Enter") openField(field[current], cell[current]);
  else if (review.classes[Number(event.key) - 1]) relabel(Number(event.key) - 1);
  else if (word === "x" || event.key === "Delete") remove();
  else if (word === "m") more();
  else return false;
  draw();
  return true;
}

function go(by, stretching) {
  const next = Math.max(0, Math.min(cell.length - 1, current + by));
  if (stretching) range(anchor, next);
  else anchor = next;
  current = next;
  const top = Math.floor(current / columns) * (TILE + GAP);
  if (top < grid.scrollTop) grid.scrollTop = top;
  if (top + TILE + 2 * GAP > grid.scrollTop + grid.clientHeight) grid.scrollTop = top + TILE + 2 * GAP - grid.clientHeight;
}

export function show() {
  layOut();
  grid.focus({ preventScroll: true });
}

// A field in its own pixels with its boxes. All boxes are drawn as one shape, so that ten thousand stay fluent.
import { actions } from "./cells.js";
import { at, change, element, estimate, follow, get, review, say, short, swatch } from "./talk.js";

const LINE_PX = 1.6, LEAST_PX = 2, PIXELS_FROM = 3, STEP = 1.25, MOST_ZOOM = 40, REACH_PX = 4, DEFAULT_SIDE = 60, PAN_PX = 60;
const place = at("picture");

let stage, pictureLayer, boxLayer, image, boxes, ghost, handle, transformer;
let shown = -1, pictured = -1, loading = 0, cells = new Map(), found = [], slivers = new Set(), chosen = null, drawing = false, drawLabel = 1, order = [];
/** Changes of cells that are not answered yet, by field. */
const unsent = new Map();
let asked = 0, taken = 0;
/** Answers that the picture waits for. */
let awaited = 0;
/** Whether two fingers are, or were, on the picture since the last time that none was; and where they were last. */
let pinching = false, fingers = null;

export function start() {
  actions(at("box-actions"), relabel, remove);
  for (const [id, act] of [["closer", () => zoom(STEP)], ["wider", () => zoom(1 / STEP)], ["whole", whole], ["pixels", pixels], ["draw", draw], ["look", look]]) {
    at(id).addEventListener("click", () => act());
  }
  at("boxes").addEventListener("change", redraw);
  at("before").addEventListener("change", redraw);
  at("filter").addEventListener("change", list);
  at("names").addEventListener("click", event => {
    const button = event.target.closest("button");
    if (button) open(Number(button.dataset.field));
  });
  const doubtful = review.fields.filter(one => one.read && one.doubt), others = review.fields.filter(one => one.read && !one.doubt);
  order = [...doubtful, ...others, ...review.fields.filter(one => !one.read)].map(one => one.field);
  list();
  follow(refresh);
}

function build() {
  stage = new Konva.Stage({ container: place, width: place.clientWidth, height: place.clientHeight, draggable: true });
  pictureLayer = new Konva.Layer({ listening: false });
  boxLayer = new Konva.Layer();
  image = new Konva.Image({});
  boxes = new Konva.Shape({ listening: false, sceneFunc: context => paint(context._context) });
  ghost = new Konva.Rect({ listening: false, visible: false, strokeScaleEnabled: false, strokeWidth: 2, dash: [6, 4] });
  handle = new Konva.Rect({ draggable: true, visible: false, strokeScaleEnabled: false, strokeWidth: 3 });
  transformer = new Konva.Transformer({ rotateEnabled: false, keepRatio: false, ignoreStroke: true, flipEnabled: false, borderEnabled: false,
    anchorSize: 9, anchorCornerRadius: 2, boundBoxFunc: (before, after) => Math.min(after.width, after.height) < LEAST_PX * stage.scaleX() ? before : after });
  pictureLayer.add(image);
  boxLayer.add(boxes, ghost, handle, transformer);
  stage.add(pictureLayer, boxLayer);
  stage.on("wheel", event => {
    event.evt.preventDefault();
    zoom(event.evt.deltaY < 0 ? STEP : 1 / STEP, stage.getPointerPosition());
  });
  stage.on("dragmove", event => { if (event.target === stage) redraw(); });
  stage.on("pointerdown", press);
  stage.on("pointerclick", pick);
  handle.on("dragend transformend", moved);
  for (const kind of ["touchstart", "touchmove", "touchend", "touchcancel"]) place.addEventListener(kind, pinch, { passive: false });
  new ResizeObserver(() => {
    if (!place.clientWidth) return;
    stage.size({ width: place.clientWidth, height: place.clientHeight });
    redraw();
  }).observe(place);
}

// The list of fields

async function list() {
  const wanted = at("filter").value;
  const proposed = wanted === "next" ? await get("proposed.json").catch(error => say(error.message, true)) : null;
  const chosenFields = wanted === "next" ? proposed?.fields ?? [] : order.filter(number => {
    const one = review.fields[number];
    return wanted === "all" || (wanted === "open" ? one.read && !one.looked : one.read && one.doubt);
  });
  if (at("filter").value !== wanted) return;
  at("names").replaceChildren(...chosenFields.map(number => {
    const row = element("li"), button = row.appendChild(element("button"));
    button.type = "button";
    button.dataset.field = number;
    fill(button, review.fields[number]);
    return row;
  }));
}

function fill(button, one) {
  const counts = one.counts ? one.counts.map((count, i) => `${count} ${review.classes[i]}`).join(", ") : "not read";
  const marks = [one.doubt && "doubtful", one.problem && one.read && "no picture", one.edits && `${one.edits} changed`].filter(Boolean);
  button.replaceChildren(element("b", one.name), element("span", counts));
  if (marks.length) button.append(element("span", marks.join(", "), "doubt"));
  if (one.looked) button.append(element("span", `looked at by ${one.looked.by}`, "good"));
  if (one.field === shown) button.setAttribute("aria-current", "true");
  else button.removeAttribute("aria-current");
}

function fillAgain(numbers) {
  for (const number of numbers) {
    const button = at("names").querySelector(`button[data-field="${number}"]`);
    if (button) fill(button, review.fields[number]);
  }
}

// Showing a field

export async function open(number, cellNumber = null) {
  if (!stage) build();
  const before = shown, turn = ++loading, other = number !== pictured;
  shown = number;
  chosen = null;
  fillAgain([before, number].filter(one => one >= 0));
  at("names").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  facts();
  if (other) {
    pictured = -1;
    cells = new Map();
    found = [];
    tellSlivers([]);
    image.image(null);
  }
  redraw();
  await reload(turn);
  if (turn !== loading) return;
  const one = review.fields[number];
  if (other && !one.problem) {
    const picture = new Image();
    picture.src = `picture.jpg?f=${number}`;
    await busy(picture.decode()).catch(() => {
      if (turn === loading) say(`${one.name}: its picture cannot be shown`, true);
    });
    if (turn !== loading) return;
    image.image(picture.naturalWidth ? picture : null);
    image.size({ width: one.size_wh[0], height: one.size_wh[1] });
    pictured = number;
    whole();
  }
  if (cellNumber !== null && cells.has(cellNumber)) {
    choose(cellNumber);
    centre(3);
  }
  redraw();
}

/** What is waited for; meanwhile the picture is told to be busy. */
async function busy(answer) {
  awaited += 1;
  place.setAttribute("aria-busy", "true");
  try {
    return await answer;
  } finally {
    awaited -= 1;
    if (!awaited) place.removeAttribute("aria-busy");
  }
}

async function reload(turn = loading) {
  const number = shown, mine = ++asked;
  let answer;
  try {
    answer = await busy(get(`field.json?f=${number}`));
  } catch (error) {
    return say(error.message, true);
  }
  // After each change that is still on its way there is another reload; what was moved meanwhile is newer than this answer.
  if (turn !== loading || number !== shown || mine < taken || unsent.get(number)) return;
  taken = mine;
  cells = new Map(answer.cells.map(([cell, ...rest]) => [cell, rest]));
  found = answer.model;
  tellSlivers(answer.slivers);
  choose(cells.has(chosen) ? chosen : null, true);
}

function refresh(numbers) {
  fillAgain(numbers);
  if (shown < 0) return;
  facts();
  if (numbers.includes(shown)) reload();
}

function facts() {
  const one = review.fields[shown], smear = review.smears.get(one.smear);
  at("name").textContent = one.name;
  at("doubt").textContent = one.doubt ? `Doubtful: ${one.doubt}` : "";
  at("problem").textContent = one.problem ? `Cannot be looked at: ${one.problem}` : "";
  at("looked").textContent = one.looked ? `Looked at by ${one.looked.by}, ${when(one.looked.at)}` : "Not looked at yet";
  at("look").textContent = one.looked ? "Take the mark away" : "Mark as looked at";
  at("look").disabled = Boolean(one.problem);
  at("field-totals").replaceChildren(...review.classes.map((name, i) => {
    const row = element("tr"), head = row.appendChild(element("th"));
    head.scope = "row";
    head.append(swatch(i), name);
    row.append(element("td", one.counts ? short(one.counts[i]) : "–"));
    return row;
  }));
  at("smear-caption").textContent = `Smear ${one.smear}: ${smear.looked} of ${smear.fields} fields looked at`;
  at("smear-totals").replaceChildren(...review.classes.map((name, i) => {
    const row = element("tr"), head = row.appendChild(element("th")), count = smear.classes[name];
    head.scope = "row";
    head.append(swatch(i), name);
    row.append(element("td", short(count.total)), estimate(count.mean), estimate(count.per_1000_rbc));
    return row;
  }));
}

/** Red cells that readers drew, of which the border of the field leaves too little to count. */
function tellSlivers(numbers) {
  slivers = new Set(numbers);
  const count = slivers.size === 1 ? "1 red cell that was drawn at the border shows less than a fifth of its width" : `${slivers.size} red cells that were drawn at the border show less than a fifth of their width`;
  at("slivers").textContent = slivers.size ? `${count}. By the border rule, such slivers do not count.` : "";
}

export function when(text) {
  return new Date(text).toLocaleString("sv").slice(0, 16);
}

function paint(context) {
  if (!at("boxes").checked) return;
  const scale = stage.scaleX(), left = -stage.x() / scale, top = -stage.y() / scale;
  const right = left + stage.width() / scale, bottom = top + stage.height() / scale;
  context.lineWidth = LINE_PX / scale;
  const inView = (x1, y1, x2, y2) => x2 >= left && x1 <= right && y2 >= top && y1 <= bottom;
  // Rectangle by rectangle: browsers draw these five times as fast as one path of them all.
  review.colours.forEach((colour, label) => {
    context.strokeStyle = colour;
    for (const [number, [x1, y1, x2, y2, own]] of cells) {
      if (own === label && number !== chosen && inView(x1, y1, x2, y2)) context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    }
  });
  if (!at("before").checked) return;
  context.setLineDash([5 / scale, 4 / scale]);
  context.strokeStyle = "#fff";
  for (const [, x1, y1, x2, y2] of found) if (inView(x1, y1, x2, y2)) context.strokeRect(x1, y1, x2 - x1, y2 - y1);
  context.setLineDash([]);
}

function redraw() {
  if (!stage) return;
  const cell = cells.get(chosen);
  // Handles do not hide a small box.
  if (cell) transformer.anchorSize(Math.max(4, Math.min(9, Math.min(cell[2] - cell[0], cell[3] - cell[1]) * stage.scaleX() / 4)));
  pictureLayer.imageSmoothingEnabled(stage.scaleX() < PIXELS_FROM);
  boxLayer.batchDraw();
}

// The view

function whole() {
  const [w, h] = review.fields[shown].size_wh;
  if (w <= 1 || !place.clientWidth) return;
  const scale = Math.min(stage.width() / w, stage.height() / h);
  stage.scale({ x: scale, y: scale });
  stage.position({ x: (stage.width() - w * scale) / 2, y: (stage.height() - h * scale) / 2 });
  redraw();
}

function pixels() {
  zoom(1 / window.devicePixelRatio / stage.scaleX());
}

function zoom(factor, point = middle()) {
  const before = stage.scaleX(), after = Math.min(MOST_ZOOM, Math.max(0.02, before * factor));
  stage.position({ x: point.x - (point.x - stage.x()) * after / before, y: point.y - (point.y - stage.y()) * after / before });
  stage.scale({ x: after, y: after });
  redraw();
}

/** Two fingers move the picture with them; what one of them began ends without effect. */
function pinch(event) {
  if (event.touches.length === 2) {
    event.preventDefault();
    if (!pinching) {
      pinching = true;
      stage.stopDrag();
      handle.stopDrag();
      transformer.stopTransform();
      choose(chosen, true);
    }
    const box = place.getBoundingClientRect(), [a, b] = event.touches;
    const middle = { x: (a.clientX + b.clientX) / 2 - box.left, y: (a.clientY + b.clientY) / 2 - box.top };
    const apart = Math.max(1, Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY));
    if (fingers) {
      stage.position({ x: stage.x() + middle.x - fingers.middle.x, y: stage.y() + middle.y - fingers.middle.y });
      zoom(apart / fingers.apart, middle);
    }
    fingers = { middle, apart };
    return;
  }
  fingers = null;
  if (!event.touches.length) pinching = false;
}

function middle() {
  return { x: stage.width() / 2, y: stage.height() / 2 };
}

/** Bring the chosen cell into view; with `closer`, that many times its size wide at the most. */
function centre(closer) {
  const [x1, y1, x2, y2] = cells.get(chosen), scale = stage.scaleX();
  const out = x1 * scale + stage.x() < 0 || y1 * scale + stage.y() < 0 || x2 * scale + stage.x() > stage.width() || y2 * scale + stage.y() > stage.height();
  if (closer) {
    const wanted = Math.min(MOST_ZOOM, Math.min(stage.width(), stage.height()) / (closer * Math.max(x2 - x1, y2 - y1)));
    stage.scale({ x: wanted, y: wanted });
  } else if (!out) return;
  const now = stage.scaleX();
  stage.position({ x: stage.width() / 2 - (x1 + x2) / 2 * now, y: stage.height() / 2 - (y1 + y2) / 2 * now });
  redraw();
}

function inPicture(point) {
  return { x: (point.x - stage.x()) / stage.scaleX(), y: (point.y - stage.y()) / stage.scaleY() };
}

// Choosing and changing cells

function choose(number, quiet = false) {
  chosen = number;
  const cell = number === null ? null : cells.get(number);
  handle.visible(Boolean(cell));
  transformer.nodes(cell ? [handle] : []);
  if (cell) {
    const [x1, y1, x2, y2, label, score] = cell;
    handle.setAttrs({ x: x1, y: y1, width: x2 - x1, height: y2 - y1, scaleX: 1, scaleY: 1, stroke: review.colours[label] });
    transformer.anchorStroke(review.colours[label]);
    if (!quiet) say(`${review.classes[label]}, score ${Number(score).toFixed(2)}, cell ${[...cells.keys()].indexOf(number) + 1} of ${cells.size}`);
  }
  redraw();
  // At once: where a release meets another shape than its press did, there is no click.
  boxLayer.drawHit();
}

function pick(event) {
  if (pinching || drawing || event.evt.button || event.target.getParent() === transformer) return;
  const point = inPicture(stage.getPointerPosition()), reach = REACH_PX / stage.scaleX();
  const area = number => (cells.get(number)[2] - cells.get(number)[0]) * (cells.get(number)[3] - cells.get(number)[1]);
  const under = [...cells].filter(([, [x1, y1, x2, y2]]) => point.x > x1 - reach && point.x < x2 + reach && point.y > y1 - reach && point.y < y2 + reach)
    .map(([number]) => number).sort((a, b) => area(a) - area(b));
  // The smallest one, and with each click more the next larger one, for it may lie wholly below others.
  choose(under.length ? under[(under.indexOf(chosen) + 1) % under.length] : null);
}

function send(cellChange, words) {
  const number = shown;
  unsent.set(number, (unsent.get(number) || 0) + 1);
  return change(() => ({ fields: [{ field: number, cells: [cellChange] }] })).then(done => {
    unsent.set(number, unsent.get(number) - 1);
    if (done) say(words);
    else reload();
    return done;
  });
}

function moved() {
  if (pinching) return choose(chosen, true);
  const box = [handle.x(), handle.y(), handle.x() + handle.width() * handle.scaleX(), handle.y() + handle.height() * handle.scaleY()];
  send({ cell: chosen, box }, "box moved");
}

function relabel(label) {
  drawLabel = label;
  // While boxes are drawn, the one that was drawn last keeps its class.
  if (chosen === null || drawing) return say(`boxes that you draw are ${review.classes[label]}`);
  if (cells.get(chosen)[4] !== label) return send({ cell: chosen, label }, review.classes[label]);
}

function remove() {
  if (chosen === null) return say("choose a cell first: click on it, or N");
  const numbers = [...cells.keys()], next = numbers[numbers.indexOf(chosen) + 1] ?? null, gone = chosen;
  return send({ cell: gone, removed: true }, "removed").then(done => { if (done) afterReload(() => choose(cells.has(next) ? next : null, true)); });
}

function afterReload(act) {
  reload().then(act);
}

async function add(box) {
  const before = new Set(cells.keys());
  const done = await send({ box, label: drawLabel }, `${review.classes[drawLabel]} added`);
  if (!done) return;
  afterReload(() => {
    choose([...cells.keys()].find(number => !before.has(number)) ?? null, true);
    if (slivers.has(chosen)) say(`${review.classes[drawLabel]} added, but it shows less than a fifth of a red cell: by the border rule it does not count. X removes it`);
  });
}

function draw() {
  drawing = !drawing;
  at("draw").setAttribute("aria-pressed", drawing);
  stage.draggable(!drawing);
  place.classList.toggle("drawing", drawing);
  if (drawing) choose(null);
  say(drawing ? `draw boxes with the mouse; they are ${review.classes[drawLabel]}: 1, 2 and 3 choose the class` : "drawing ended");
}

function press(event) {
  if (!drawing || event.evt.button || !event.evt.isPrimary || shown < 0 || review.fields[shown].problem) return;
  const from = inPicture(stage.getPointerPosition());
  ghost.setAttrs({ ...from, width: 0, height: 0, stroke: review.colours[drawLabel], visible: true });
  const move = () => {
    const to = inPicture(stage.getPointerPosition());
    ghost.setAttrs({ x: Math.min(from.x, to.x), y: Math.min(from.y, to.y), width: Math.abs(to.x - from.x), height: Math.abs(to.y - from.y) });
  };
  const end = ended => {
    stage.setPointersPositions(ended);
    move();
    removeEventListener("pointerup", end);
    stage.off("pointermove.ghost");
    ghost.visible(false);
    if (!pinching && Math.min(ghost.width(), ghost.height()) >= LEAST_PX) add([ghost.x(), ghost.y(), ghost.x() + ghost.width(), ghost.y() + ghost.height()]);
  };
  stage.on("pointermove.ghost", move);
  addEventListener("pointerup", end);
}

/** A box in the middle of the view, as large as the cells of its class usually are. */
function addInMiddle() {
  if (review.fields[shown].problem) return say(review.fields[shown].problem, true);
  const point = inPicture(middle());
  const sides = [...cells.values()].filter(one => one[4] === drawLabel).map(one => one[2] - one[0]).sort((a, b) => a - b);
  const half = (sides.length ? sides[Math.floor(sides.length / 2)] : DEFAULT_SIDE) / 2;
  return add([point.x - half, point.y - half, point.x + half, point.y + half]);
}

async function look(number = shown, looked = !review.fields[number].looked) {
  if (await change(() => ({ fields: [{ field: number, looked }] }))) say(looked ? "marked as looked at" : "mark taken away");
}

async function lookAndGoOn() {
  const number = shown;
  if (review.fields[number].problem) return say(review.fields[number].problem, true);
  if (!review.fields[number].looked) await look(number, true);
  // Pressed twice, it goes on once.
  if (shown !== number || !review.fields[number].looked) return;
  const left = [...order.slice(order.indexOf(number) + 1), ...order].filter(other => review.fields[other].read && !review.fields[other].problem && !review.fields[other].looked);
  if (left.length) open(left[0]);
  else say("every field that can be looked at is marked");
}

function step(by) {
  const numbers = [...cells.keys()];
  if (!numbers.length) return;
  const index = chosen === null ? (by > 0 ? 0 : numbers.length - 1) : (numbers.indexOf(chosen) + by + numbers.length) % numbers.length;
  choose(numbers[index]);
  centre();
}

function arrow(event) {
  const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key], far = event.shiftKey ? 10 : 1;
  if (chosen === null) {
    stage.position({ x: stage.x() - x * PAN_PX * far, y: stage.y() - y * PAN_PX * far });
    return redraw();
  }
  const [x1, y1, x2, y2] = cells.get(chosen), box = event.altKey ? [x1, y1, x2 + x * far, y2 + y * far] : [x1 + x * far, y1 + y * far, x2 + x * far, y2 + y * far];
  // Shown at once, for a held key sends faster than the program answers.
  cells.set(chosen, [...box, ...cells.get(chosen).slice(4)]);
  choose(chosen, true);
  return send({ cell: chosen, box }, event.altKey ? "size changed" : "box moved");
}

/** What a key does here; gives whether it does anything. */
export function key(event) {
  if (event.ctrlKey || event.metaKey || shown < 0 || !stage) return false;
  const word = event.key.toLowerCase();
  const acts = {
    n: () => step(1), b: () => step(-1), a: addInMiddle, d: draw, x: remove, delete: remove, l: lookAndGoOn, v: () => at("boxes").click(), p: pixels,
    "+": () => zoom(STEP), "=": () => zoom(STEP), "-": () => zoom(1 / STEP), 0: whole, "[": () => next(-1), "]": () => next(1), escape: () => choose(null),
  };
  if (event.key.startsWith("Arrow")) arrow(event);
  else if (event.altKey) return false;
  else if (review.classes[Number(event.key) - 1]) relabel(Number(event.key) - 1);
  else if (word in acts) acts[word]();
  else return false;
  return true;
}

function next(by) {
  const index = order.indexOf(shown) + by;
  if (order[index] !== undefined) open(order[index]);
}

export function show() {
  if (shown < 0 && order.length) open(order[0]);
  else if (stage) redraw();
  place.focus({ preventScroll: true });
}

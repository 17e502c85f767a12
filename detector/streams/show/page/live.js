"use strict";
// Asks for the state and the picture again and again; a slow line gets fewer pictures, never old ones.
const at = id => document.getElementById(id);
const STATE_MS = 400, PICTURE_MS = 60, PATIENCE_MS = 4000;

function text(id, words) {
  if (at(id).textContent !== words) at(id).textContent = words;
}

function addColumn(row, words, below, name) {
  const column = row.insertCell();
  column.textContent = words;
  if (name) column.className = name;
  if (below) column.appendChild(document.createElement("span")).textContent = below;
}

function totals(classes) {
  const rows = classes.map(total => {
    const row = document.createElement("tr");
    const head = row.appendChild(document.createElement("th"));
    head.scope = "row";
    const swatch = head.appendChild(document.createElement("span"));
    swatch.className = "swatch";
    swatch.style.background = total.colour;
    head.append(total.name);
    addColumn(row, total.count, "", "count");
    addColumn(row, total.per_field ? total.per_field.value : "–", total.per_field && total.per_field.span);
    addColumn(row, total.known_to || "–", total.target && `asked for ${total.target}`, total.target && total.enough ? "enough" : "");
    return row;
  });
  at("totals").replaceChildren(...rows);
}

function facts(state) {
  const f = state.frames;
  const lines = [
    ["frames", `${f.received} received: ${f.used} used, ${f.dropped} dropped, ${f.rejected} rejected`],
    ["seen", `${state.fields} views` + (state.area_mm2 ? `, ${state.area_mm2} mm²` : "")],
  ];
  if (state.segments > 1) lines.push(["place lost", `${state.segments - 1} times: cells may repeat from before`]);
  at("facts").replaceChildren(...lines.flatMap(([name, words]) => {
    const dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = name;
    dd.textContent = words;
    return [dt, dd];
  }));
  at("faults").replaceChildren(...state.faults.map(fault => {
    const li = document.createElement("li");
    li.textContent = `at ${fault.time_s.toFixed(1)} s, ${fault.kind}: ${fault.reason}`;
    return li;
  }));
}

function shown(state) {
  text("source", state.source);
  text("sentence", state.sentence);
  totals(state.classes);
  facts(state);
  const lost = state.camera === "lost";
  text("now", state.last ? `last picture: ${state.last.status}${state.last.reason ? ", " + state.last.reason : ""}` : "");
  say(state.ended ? `ended: ${state.ended.reason}` : lost ? "camera lost, connecting again" : state.enough ? "enough cells" : "counting",
      lost && !state.ended ? "bad" : state.enough ? "good" : "");
}

function say(words, name) {
  text("state", words);
  at("state").className = name;
}

let ended = false;

async function follow() {
  try {
    const answer = await fetch("state.json", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
    const state = await answer.json();
    shown(state);
    ended = Boolean(state.ended);
  } catch {
    say(ended ? at("state").textContent : "the program does not answer: it has ended, or the connection is lost", ended ? "" : "bad");
  }
  setTimeout(follow, STATE_MS);
}

let number = 0;

function look() {
  const next = new Image();
  const again = wait => setTimeout(look, wait);
  next.onload = () => {
    at("picture").src = next.src;
    at("picture").hidden = false;
    again(PICTURE_MS);
  };
  next.onerror = () => again(STATE_MS * 2);
  next.src = `picture.jpg?n=${number++}`;
}

follow();
look();

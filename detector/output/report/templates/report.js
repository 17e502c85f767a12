"use strict";
{
  const data = JSON.parse(document.getElementById("cells").textContent);
  const overlay = document.getElementById("overlay").content.firstElementChild;
  const form = document.getElementById("filters");
  const figures = [...document.querySelectorAll("figure.field")];
  const large = document.getElementById("large");
  const unpacked = new Map();

  /** Cells of a field as five numbers each: x, y, width, height, 1000 label + 100 score. */
  function cells(figure) {
    const number = figure.dataset.number;
    if (!unpacked.has(number)) {
      const bytes = Uint8Array.from(atob(data.fields[number]), (letter) => letter.charCodeAt(0));
      unpacked.set(number, new Uint16Array(bytes.buffer));
    }
    return unpacked.get(number);
  }

  /** Labels that are switched on, and the least score in hundredths. */
  function chosen() {
    const labels = [...form.querySelectorAll("input[name=class]")].map((box) => box.checked);
    return { labels, least: Number(document.getElementById("score").value) };
  }

  /** Draw a field's chosen cells over its picture. */
  function draw(figure, frame) {
    const { labels, least } = chosen();
    const paths = data.classes.map(() => []);
    const values = cells(figure);
    for (let i = 0; i < values.length; i += 5) {
      const label = Math.floor(values[i + 4] / 1000);
      if (labels[label] && values[i + 4] % 1000 >= least) {
        const [x, y, w, h] = values.subarray(i, i + 4);
        paths[label].push(`M${x} ${y}h${w}v${h}h${-w}z`);
      }
    }
    let drawn = frame.querySelector("svg");
    if (!drawn) {
      drawn = overlay.cloneNode(true);
      frame.append(drawn);
    }
    paths.forEach((path, label) => drawn.children[label].setAttribute("d", path.join("")));
  }

  /** How many chosen cells a field holds. */
  function held(figure, { labels, least }) {
    const values = cells(figure);
    let number = 0;
    for (let i = 4; i < values.length; i += 5) {
      number += labels[Math.floor(values[i] / 1000)] && values[i] % 1000 >= least ? 1 : 0;
    }
    return number;
  }

  // Only what comes near the window is drawn, so that a page of a thousand fields opens at once.
  const near = new Set();
  const watcher = new IntersectionObserver((seen) => {
    for (const one of seen) {
      if (one.isIntersecting) {
        near.add(one.target);
        draw(one.target, one.target.querySelector(".frame"));
      } else {
        near.delete(one.target);
      }
    }
  }, { rootMargin: "600px" });

  function refresh() {
    const filter = chosen();
    const doubtful = document.getElementById("doubtful").checked;
    const holding = document.getElementById("holding").checked;
    let number = 0;
    let fields = 0;
    for (const figure of figures) {
      const own = held(figure, filter);
      figure.hidden = (doubtful && !figure.classList.contains("doubtful")) || (holding && !own);
      if (!figure.hidden) {
        number += own;
        fields += 1;
      }
    }
    for (const group of document.querySelectorAll(".group")) {
      group.hidden = !group.querySelector("figure:not([hidden])");
    }
    document.getElementById("least").textContent = (filter.least / 100).toFixed(2);
    document.getElementById("tally").textContent = `${number.toLocaleString("en")} boxes in ${fields.toLocaleString("en")} fields`;
    near.forEach((figure) => draw(figure, figure.querySelector(".frame")));
    if (large.open) draw(open, large.querySelector(".frame"));
  }

  let open = null;

  function enlarge(figure) {
    open = figure;
    const picture = large.querySelector("img");
    const small = figure.querySelector("img");
    picture.src = small.src;
    picture.alt = small.alt;
    picture.width = small.width;
    picture.height = small.height;
    const [width, height] = [small.getAttribute("width"), small.getAttribute("height")];
    large.querySelector(".frame").style.setProperty("--ratio", width / height);
    large.querySelector(".caption").textContent = [...figure.querySelectorAll("figcaption > *")].map((one) => one.textContent).join(" · ");
    draw(figure, large.querySelector(".frame"));
    if (!large.open) large.showModal();
  }

  function go(step) {
    const visible = figures.filter((figure) => !figure.hidden);
    const next = visible[visible.indexOf(open) + step];
    if (next) enlarge(next);
  }

  if (form) {
    const score = document.getElementById("score");
    // Nothing below the lowest threshold was counted.
    score.min = score.value = Math.floor(100 * Math.min(...Object.values(data.thresholds)));
    form.hidden = false;
    form.addEventListener("input", refresh);
    form.addEventListener("submit", (event) => event.preventDefault());
    figures.forEach((figure) => {
      watcher.observe(figure);
      figure.querySelector("button").addEventListener("click", () => enlarge(figure));
    });
    refresh();
  }
  document.getElementById("previous").addEventListener("click", () => go(-1));
  document.getElementById("next").addEventListener("click", () => go(1));
  document.getElementById("close").addEventListener("click", () => large.close());
  large.addEventListener("click", (event) => { if (event.target === large) large.close(); });
  large.addEventListener("close", () => open && open.querySelector("button").focus());
  large.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") go(-1);
    if (event.key === "ArrowRight") go(1);
  });
  window.addEventListener("beforeprint", () => figures.forEach((figure) => draw(figure, figure.querySelector(".frame"))));
}

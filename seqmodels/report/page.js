"use strict";
// Charts in the page's theme, menus, tables that sort and filter, recipes that open.

const dark = matchMedia("(prefers-color-scheme: dark)");
let kept = null; // what is drawn or opened when asked for: {charts, html}

async function unpack(element) {
  const bytes = Uint8Array.from(atob(element.textContent.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function withTheme(figure) {
  const text = colour("--text"), soft = colour("--soft"), line = colour("--line"), card = colour("--card");
  for (const trace of figure.data) {
    const own = dark.matches ? trace.meta.dark : trace.meta.light;
    if (!own) continue;
    if (trace.meta.band) trace.fillcolor = own + "2e";
    if (trace.line) trace.line.color = own;
    if (trace.marker) trace.marker.color = own;
    if (trace.error_y) trace.error_y.color = own;
  }
  const layout = figure.layout;
  layout.font = { color: text, size: 13, family: getComputedStyle(document.body).fontFamily };
  for (const axis of [layout.xaxis, layout.yaxis]) {
    Object.assign(axis, { gridcolor: line, linecolor: line, tickcolor: line, showline: true });
  }
  for (const note of layout.annotations ?? []) note.font = { ...note.font, color: soft };
  layout.hoverlabel = { align: "left", bgcolor: card, bordercolor: line, font: { color: text } };
  return figure;
}

function draw(chart) {
  const figure = withTheme(structuredClone(kept.charts[chart.dataset.figure]));
  if (matchMedia("(pointer: coarse)").matches) figure.layout.dragmode = false; // a finger scrolls
  const settings = { responsive: true, displayModeBar: false };
  Plotly.react(chart, figure.data, figure.layout, settings);
}

const charts = [...document.querySelectorAll(".chart")];
const drawn = () => charts.filter((chart) => chart.classList.contains("js-plotly-plot"));

// A menu shows another figure in the same place.
function show(chart, name) {
  const box = chart.closest("figure");
  chart.dataset.figure = name;
  box.querySelector("figcaption").innerHTML = kept.html["text-" + name];
  fill(box.querySelector("details.data"));
  if (chart.classList.contains("js-plotly-plot")) draw(chart);
}

function options(menus) {
  return JSON.parse(menus.dataset.options);
}

function choose(menus, labels) {
  const chart = menus.parentNode.querySelector(".chart");
  const [entries, name] = options(menus).find(([entries]) => entries.every((entry, at) => entry === labels[at]));
  menus.querySelectorAll("select").forEach((select, at) => { select.value = entries[at]; });
  show(chart, name);
}

for (const menus of document.querySelectorAll(".menus")) {
  const selects = [...menus.querySelectorAll("select")];
  menus.addEventListener("change", (event) => {
    const wanted = selects.map((select) => select.value), at = selects.indexOf(event.target);
    const alike = ([entries]) => entries.filter((entry, place) => entry === wanted[place]).length;
    const fitting = options(menus).filter(([entries]) => entries[at] === wanted[at]);
    choose(menus, fitting.sort((a, b) => alike(b) - alike(a))[0][0]); // what is not there gives way
  });
}

// The data of a figure, once they are asked for.
function fill(details) {
  if (!details.open) return;
  const chart = details.parentNode.querySelector(".chart"), place = details.lastElementChild;
  if (place.dataset.figure === chart.dataset.figure) return;
  place.dataset.figure = chart.dataset.figure;
  place.innerHTML = kept.html["data-" + chart.dataset.figure];
  place.querySelectorAll(".filter input").forEach(filtered);
}

// A number of a heat map opens its runs; arrows go from one to the next.
function openCell(button) {
  const map = button.closest("figure"), opened = map.querySelector(".opened");
  const open = button.getAttribute("aria-pressed") !== "true";
  map.querySelectorAll(".cell").forEach((cell) => cell.setAttribute("aria-pressed", "false"));
  button.setAttribute("aria-pressed", String(open));
  opened.innerHTML = open ? kept.html[button.dataset.key] : "";
}

document.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  if (!step || !event.target.matches(".cell")) return;
  const cell = event.target.closest("td"), rows = [...cell.closest("tbody").rows];
  const row = rows[rows.indexOf(cell.parentNode) + step[0]];
  const next = row?.cells[cell.cellIndex + step[1]]?.querySelector(".cell");
  if (next) next.focus();
  event.preventDefault();
});

// Sorting: numbers by value, words by the alphabet, what is empty last.
function sort(head) {
  const table = head.closest("table");
  const place = [...head.parentNode.children].indexOf(head);
  const way = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
  for (const other of head.parentNode.querySelectorAll("[aria-sort]")) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", way);
  const sign = way === "ascending" ? 1 : -1;
  const number = head.classList.contains("number");
  const value = (body) => {
    const cell = body.rows[0].cells[place];
    return cell.dataset.value ?? cell.textContent.trim();
  };
  const compare = (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === "" || y === "") return (x === "") - (y === "");
    const [m, n] = [Number(x), Number(y)];
    if (number && !Number.isNaN(m) && !Number.isNaN(n)) return sign * (m - n);
    return sign * x.localeCompare(y, undefined, { numeric: true });
  };
  table.append(...[...table.tBodies].sort(compare));
}

document.addEventListener("click", (event) => {
  const head = event.target.closest("thead button");
  if (head) sort(head.closest("th"));
  if (!kept) return; // in the first moment
  const open = event.target.closest("button.open");
  if (open) setOpen(open, open.getAttribute("aria-expanded") !== "true");
  const cell = event.target.closest(".cell");
  if (cell) openCell(cell);
});

// Filtering: a row stays if it holds every word.
function filtered(input) {
  const table = document.getElementById(input.dataset.table);
  const output = input.parentNode.querySelector("output");
  const filter = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const bodies = [...table.tBodies];
    for (const body of bodies) {
      const text = [...body.rows[0].cells].map((cell) => cell.textContent).join(" ").toLowerCase();
      body.hidden = !words.every((word) => text.includes(word));
    }
    const left = bodies.filter((body) => !body.hidden).length;
    output.textContent = words.length ? `${left} of ${bodies.length} rows` : `${bodies.length} rows`;
  };
  input.addEventListener("input", filter);
  table.showAll = () => {
    input.value = "";
    filter();
  };
}

// A link to a run shows its row and opens its recipe.
function setOpen(button, open) {
  button.setAttribute("aria-expanded", String(open));
  button.firstChild.data = open ? "hide" : "show";
  const row = document.getElementById(button.getAttribute("aria-controls"));
  if (open) row.firstElementChild.innerHTML = kept.html[row.id];
  row.hidden = !open;
}

function showTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.matches(".option")) {
    const menus = target.parentNode.querySelector(".menus");
    choose(menus, options(menus).find(([, name]) => name === target.id)[0]);
    target.parentNode.scrollIntoView();
  }
  if (target?.tagName !== "TBODY") return;
  const table = target.closest("table");
  if (target.hidden) table.showAll();
  const button = target.querySelector("button.open");
  if (button) {
    setOpen(button, true);
    button.focus({ preventScroll: true });
  }
  target.rows[0].scrollIntoView({ block: "center" });
}
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#"]');
  if (link && link.getAttribute("href") === location.hash) showTarget();
});

const ready = unpack(document.getElementById("kept")).then((found) => {
  kept = found;
  for (const place of document.querySelectorAll("[data-kept]")) place.innerHTML = kept.html[place.dataset.kept];
  document.querySelectorAll(".filter input").forEach(filtered);
  // A chart is drawn when it comes near: a page of fifty would be slow to open.
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) {
        near.unobserve(entry.target);
        draw(entry.target);
      }
    }
  }, { rootMargin: "600px" });
  charts.forEach((chart) => near.observe(chart));
  dark.addEventListener("change", () => drawn().forEach(draw));
  addEventListener("beforeprint", () => charts.forEach(draw));
  addEventListener("hashchange", showTarget);
  document.addEventListener("toggle", (event) => {
    if (event.target.matches("details.data")) fill(event.target);
  }, true);
  showTarget();
});

// Of a sweep that runs the page is written again and again.
const opened = "details[open], .cell[aria-pressed=true], .open[aria-expanded=true]";
const seconds = Number(document.documentElement.dataset.reload);
if (seconds) setInterval(() => document.querySelector(opened) || location.reload(), 1000 * seconds);

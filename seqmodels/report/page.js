"use strict";
// Charts in the page's theme, tables that sort and filter, recipes that open.

const dark = matchMedia("(prefers-color-scheme: dark)");

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function withTheme(figure) {
  const text = colour("--text"), line = colour("--line"), card = colour("--card");
  for (const trace of figure.data) {
    const own = dark.matches ? trace.meta.dark : trace.meta.light;
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
  layout.hoverlabel = { align: "left", bgcolor: card, bordercolor: line, font: { color: text } };
  return figure;
}

function draw(chart) {
  const stored = document.getElementById(chart.id.replace("chart-", "data-"));
  const figure = withTheme(JSON.parse(stored.textContent));
  if (matchMedia("(pointer: coarse)").matches) figure.layout.dragmode = false; // a finger scrolls
  const settings = { responsive: true, displayModeBar: false };
  Plotly.react(chart, figure.data, figure.layout, settings);
}

// A chart is drawn when it comes near: a page of fifty would be slow to open.
const near = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting) {
      near.unobserve(entry.target);
      draw(entry.target);
    }
  }
}, { rootMargin: "600px" });
const charts = [...document.querySelectorAll(".chart")];
charts.forEach((chart) => near.observe(chart));
const drawn = () => charts.filter((chart) => chart.classList.contains("js-plotly-plot"));
dark.addEventListener("change", () => drawn().forEach(draw));
addEventListener("beforeprint", () => charts.forEach(draw));

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
  const open = event.target.closest("button.open");
  if (open) setOpen(open, open.getAttribute("aria-expanded") !== "true");
});

// Filtering: a row stays if it holds every word.
for (const input of document.querySelectorAll(".filter input")) {
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
  document.getElementById(button.getAttribute("aria-controls")).hidden = !open;
}

function showTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
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
addEventListener("hashchange", showTarget);
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#"]');
  if (link && link.getAttribute("href") === location.hash) showTarget();
});
showTarget();

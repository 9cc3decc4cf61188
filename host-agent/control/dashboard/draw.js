// What the page draws with: text and shapes. Whatever comes from the daemon goes in as text or as a number, never as markup.

const SVG = "http://www.w3.org/2000/svg";
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

export const byId = id => document.getElementById(id);

export function size(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  let unit = 0;
  while (Math.abs(bytes) >= 1024 && unit < UNITS.length - 1) { bytes /= 1024; unit++; }
  return `${unit === 0 || bytes >= 100 ? Math.round(bytes) : bytes.toFixed(bytes >= 10 ? 1 : 2)} ${UNITS[unit]}`;
}

export function percent(ratio) {
  return ratio === null || ratio === undefined ? "–" : `${(ratio * 100).toFixed(ratio < 0.1 ? 1 : 0)} %`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const s = Math.floor(seconds);
  if (s < 60) return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s % 86400 / 3600)} h`;
}

export function element(tag, className, text) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

// Replaces only what differs, so that what is selected around it stays selected. `e` holds nothing but text.
export function setText(e, text) {
  const node = e.firstChild, old = e.textContent, most = Math.min(old.length, text.length);
  let same = 0, end = 0;
  if (old === text) return;
  if (!node) { e.textContent = text; return; }
  while (same < most && old[same] === text[same]) same++;
  while (end < most - same && old.at(-1 - end) === text.at(-1 - end)) end++;
  node.replaceData(same, old.length - same - end, text.slice(same, text.length - end));
}

// Gives `parent` just these elements, in this order. The one with the focus, or else the selection, would lose it if it were moved: the others move
// around it.
export function arrange(parent, elements) {
  const keep = new Set(elements), held = node => elements.find(e => e.parentNode === parent && e.contains(node));
  [...parent.children].forEach(e => { if (!keep.has(e)) e.remove(); });
  const still = held(document.activeElement) ?? held(getSelection().anchorNode) ?? elements[0], at = elements.indexOf(still);
  if (still && still.parentNode !== parent) parent.prepend(still);
  for (let i = at - 1; i >= 0; i--) if (elements[i].nextSibling !== elements[i + 1]) elements[i + 1].before(elements[i]);
  for (let i = at + 1; i < elements.length; i++) if (elements[i].previousSibling !== elements[i - 1]) elements[i - 1].after(elements[i]);
}

// The element that `parent` keeps under this key; made on first use, so that it moves instead of being replaced.
export function part(parent, key, className, tag = "span") {
  parent.parts ??= {};
  if (!parent.parts[key]) {
    parent.parts[key] = element(tag, className);
    parent.append(parent.parts[key]);
  }
  return parent.parts[key];
}

export function place(e, left, width) {
  const clamp = x => Math.max(0, Math.min(100, Number.isFinite(x) ? x * 100 : 0));
  if (left !== null) e.style.left = `${clamp(left)}%`;
  if (width !== null) e.style.width = `${clamp(width)}%`;
}

// Lines over time: series is [[className, values], ...]; unknown values break a line. `area` fills below the first.
export function lines(into, series, { top, label, area = true, points = 120 }) {
  const width = 300, height = 60;
  let svg = into.firstElementChild;
  if (!svg) {
    svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    into.append(svg);
  }
  svg.setAttribute("aria-label", label);
  const max = top || Math.max(1e-9, ...series.flatMap(([, values]) => values.filter(v => v !== null)));
  const x = (i, n) => width - (n - 1 - i) * width / (points - 1);
  const y = v => height - Math.min(1, v / max) * (height - 3) - 1.5;
  const paths = [];
  series.forEach(([className, values], index) => {
    let d = "", pen = false;
    values.forEach((v, i) => {
      if (v === null) { pen = false; return; }
      d += `${pen ? "L" : "M"}${x(i, values.length).toFixed(1)} ${y(v).toFixed(1)}`;
      pen = true;
    });
    if (area && index === 0 && values.length > 1 && !values.includes(null))
      paths.push(["area", `${d}L${width} ${height}L${x(0, values.length).toFixed(1)} ${height}Z`]);
    paths.push([`line ${className}`, d]);
  });
  while (svg.childElementCount > paths.length) svg.lastElementChild.remove();
  while (svg.childElementCount < paths.length) svg.append(document.createElementNS(SVG, "path"));
  paths.forEach(([className, d], i) => {
    svg.children[i].setAttribute("class", className);
    svg.children[i].setAttribute("d", d);
  });
}

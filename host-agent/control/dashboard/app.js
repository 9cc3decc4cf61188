// The dashboard: asks /api/status, /api/vms and /api/alerts every two seconds and shows the answers. It changes nothing.
import { byId, size, percent, duration, element, setText, arrange, part, place, lines } from "./draw.js";

const EVERY_MS = 2000, PATIENCE_MS = 8000, POINTS = 120, RECALL_VMS = 100;
const STATES = { normal: "good", tight: "warn", hard: "bad", critical: "bad" };
const VM_STATES = { uncooperative: "bad", breaching: "bad", unknown: "warn" };
const history = { host: {}, vms: {} };
const rows = new Map(); // by UUID
const ALL_WELL = element("li", "none", "All is well: no alert fires."), LATELY = element("li", "recent");
let vms = [], alerts = new Map() /* by name and UUID */, lastGood = 0;

// What was before the page looked, from the daemon: lines that begin empty say nothing for minutes.
async function recall(store, query, series) {
  const past = await get(`/api/history${query}`);
  for (const name of series) {
    const list = Array(POINTS).fill(null);
    past.age_seconds.forEach((age, i) => { list[POINTS - 1 - Math.round(age * 1000 / EVERY_MS)] = past.series_bytes[name][i]; });
    list.length = POINTS; // older ones have made it no array's element
    // Two points in one step leave a hole beside it.
    list.forEach((v, i) => { if (v === null && list[i + 1] !== null) list[i] = list[i - 1] ?? null; });
    const first = list.findIndex(v => v !== null);
    store[name] = first < 0 ? [] : list.slice(first);
  }
}

async function recallNew() {
  const asked = [];
  if (!history.host.committed) asked.push(recall(history.host, "", ["committed", "envelope"]));
  for (const { uuid } of vms.length <= RECALL_VMS ? vms : [])
    if (!history.vms[uuid]) asked.push(recall(history.vms[uuid] = {}, `?vm=${encodeURIComponent(uuid)}`, ["actual", "demand"]));
  await Promise.allSettled(asked);
}

function forget() {
  history.host = {};
  history.vms = {};
}

function remember(store, key, value) {
  const list = store[key] ??= [];
  list.push(value ?? null);
  if (list.length > POINTS) list.shift();
  return list;
}

// A number on the page: what people read, and the value itself for those who compare.
function field(name, value, text) {
  for (const e of document.querySelectorAll(`[data-field="${name}"]`)) {
    setText(e, text);
    e.dataset.value = value ?? "";
  }
}

// Which rule is broken: the host's, that of NUMA nodes, or that of what has to stay in memory, by how much the status does not say.
function unsafeSentence(s) {
  const node = s.nodes.reduce((worst, n) => (n.deficit_bytes ?? 0) > (worst?.deficit_bytes ?? 0) ? n : worst, null);
  const end = s.automation === "running" && s.connected ? "; memory is being taken back." : ".";
  const excess = (who, bytes, bearer) => [`${who} can take `, element("strong", "", size(bytes)), ` more than ${bearer} can bear${end}`];
  if (s.deficit_bytes > 0) return excess("The virtual machines", s.deficit_bytes, "the host");
  if (node) return excess(`The virtual machines bound to NUMA node ${node.nodes}`, node.deficit_bytes, "it");
  return ["Virtual machines that cannot swap can take ", element("strong", "", "more"), ` than the host can bear without swap${end}`];
}

function showEnvelope(s) {
  const used = vms.every(vm => vm.rss_bytes === null) ? null : vms.reduce((sum, vm) => sum + (vm.rss_bytes ?? 0), 0);
  const allowance = s.swap.allowance_bytes ?? 0, committed = s.committed_bytes ?? 0, rule = s.rule_bytes ?? 0, capacity = s.capacity_bytes ?? 0;
  const scale = Math.max(capacity + allowance, s.envelope_bytes ?? 0, committed + (s.reserved_bytes ?? 0), used ?? 0, 1) * 1.02;
  const bar = byId("envelope-bar"), sentence = byId("envelope-sentence");

  place(part(bar, "zone", "zone"), capacity / scale, allowance / scale);
  place(part(bar, "reserved", "reserved"), committed / scale, (s.reserved_bytes ?? 0) / scale);
  place(part(bar, "committed", "part committed"), null, committed / scale);
  place(part(bar, "used", "part used"), null, (used ?? 0) / scale);
  for (const [key, value, name] of [["capacity", capacity, "capacity"], ["limit", rule, "envelope"]]) {
    const tick = part(bar, key, `tick ${key}`);
    place(tick, value / scale, null);
    setText(part(tick, "label", ""), name);
    tick.classList.toggle("end", value / scale > 0.93);
    // Where both are in one place one name is enough.
    tick.hidden = s.rule_bytes === null || (key === "capacity" && Math.abs(rule - capacity) / scale < 0.012);
    part(tick, "label", "").hidden = key === "capacity" && Math.abs(rule - capacity) / scale < 0.11;
  }
  bar.classList.toggle("over", s.unsafe === true);
  bar.setAttribute("aria-label", `Of an envelope of ${size(s.rule_bytes)}, ${size(s.committed_bytes)} are committed and ${size(used)} used.`);

  sentence.classList.toggle("bad", s.unsafe === true);
  const parts = s.rule_bytes === null ? ["No decision yet."] : s.unsafe ? unsafeSentence(s) : [
    "All virtual machines together can take ", element("strong", "", size(s.committed_bytes)), " of the ", element("strong", "", size(s.rule_bytes)),
    ` that the host can bear${s.guarantee === "full" ? ", whatever they do at once" : ""}.`];
  if (sentence.textContent !== parts.map(p => p.textContent ?? p).join("")) sentence.replaceChildren(...parts);

  field("overcommit_ratio", s.overcommit_ratio, s.overcommit_ratio === null ? "–" : `${s.overcommit_ratio.toFixed(2)}×`);
  field("used_bytes", used, size(used));
  for (const key of ["committed_bytes", "capacity_bytes", "rule_bytes", "pool_bytes"]) field(key, s[key], size(s[key]));
  field("allowance_bytes", s.swap.allowance_bytes, size(s.swap.allowance_bytes));
  lines(byId("envelope-history"), [["used", remember(history.host, "used", used)],
                                   ["committed", remember(history.host, "committed", s.committed_bytes)],
                                   ["limit", remember(history.host, "envelope", s.envelope_bytes)]], // as it is recalled, without the correction
        { top: scale, label: "Used, committed and envelope over the last minutes" });
}

function meter(id, value, of, tick, level, label) {
  const m = byId(id), fill = part(m, "fill", "fill"), mark = part(m, "tick", "tick");
  m.hidden = value === null || !of;
  place(fill, null, value / of);
  fill.className = `fill ${level}`;
  mark.hidden = tick === null;
  if (tick !== null) place(mark, tick / of, null);
  m.setAttribute("aria-label", label);
}

function showFacts(s) {
  const swap = s.swap, used = swap.disk_used_bytes, ceiling = swap.ceiling_bytes, psi = s.psi.some_ratio;

  field("available_bytes", s.available_bytes, size(s.available_bytes));
  meter("memory-meter", s.available_bytes, s.memory_bytes, s.reserve_bytes, s.available_bytes < s.reserve_bytes ? "bad" : "",
        "Available memory against the reserve");
  setText(byId("memory-note"), `of ${size(s.memory_bytes)}; ${size(s.reserve_bytes)} in reserve, ${size(s.other_bytes)} other use`);
  field("swap_used_bytes", used, swap.disk_total_bytes === 0 ? "none" : size(used));
  meter("swap-meter", used, swap.disk_total_bytes, ceiling, used > ceiling ? "bad" : used >= ceiling * swap.warn_ratio ? "warn" : "",
        "Swap in use against its ceiling");
  setText(byId("swap-note"), swap.disk_total_bytes
          ? `of ${size(swap.disk_total_bytes)}; ceiling ${size(ceiling)} (${percent(swap.ceiling_ratio)})`
          : "No swap on a disk backs the guarantee.");
  field("ksm_saved_bytes", s.ksm.saved_bytes, size(s.ksm.saved_bytes));
  setText(byId("ksm-note"), s.ksm.run === null
          ? "not in this kernel"
          : `${s.ksm.run === 1 ? "scanning" : "not scanning"}; profit ${size(s.ksm.profit_bytes)}, ${percent(s.ksm.cpu_ratio)} of a CPU`);
  field("psi_some_ratio", psi, percent(psi));
  lines(byId("psi-history"), [["", remember(history.host, "psi", psi)]],
        { top: Math.max(0.05, ...history.host.psi.map(v => v ?? 0)), label: "Memory pressure over the last minutes" });
  setText(byId("psi-note"), psi === null ? "this kernel has no PSI" : `of the last 10 s some work waited; all work ${percent(s.psi.full_ratio)}`);
  const guarantee = byId("guarantee");
  setText(guarantee, s.guarantee ?? "–");
  guarantee.className = `value ${{ full: "good", conditional: "warn", none: "bad" }[s.guarantee] ?? ""}`;
  const reasons = byId("guarantee-reasons"), texts = s.guarantee_explanations.length
    ? s.guarantee_explanations
    : [s.guarantee === "full" ? "Whatever all guests do at once, the host does not run out." : ""];
  arrange(reasons, texts.map((text, i) => {
    const li = reasons.children[i] ?? element("li");
    setText(li, text);
    li.title = text;
    return li;
  }));
}

// The alerts change in place: what is told to screen readers is only that one begins or ends, not each new number in a message.
function showAlerts({ firing, recent }) {
  const seen = new Map(), news = [];
  for (const a of firing) {
    const key = `${a.name} ${a.uuid}`, alert = seen.set(key, alerts.get(key) ?? makeAlert(a)).get(key);
    if (!alerts.has(key)) news.push(`${alert.who} fires`);
    setText(alert.what, `${a.name}: ${a.message}`);
    setText(alert.time, `since ${clock(a.since)}`);
    alert.time.dateTime = a.since;
  }
  for (const [key, { who }] of alerts) if (!seen.has(key)) news.push(`${who} is over`);
  alerts = seen;
  if (news.length) setText(byId("alert-news"), news.join("; "));

  setText(LATELY, `Lately: ${recent.slice(0, 5).map(a => `${a.name}${a.uuid ? ` (${a.subject})` : ""}, over since ${clock(a.until)}`).join(" · ")}`);
  arrange(byId("alerts"), [...[...alerts.values()].map(({ li }) => li), ...(firing.length ? [] : [ALL_WELL]), ...(recent.length ? [LATELY] : [])]);
  setText(byId("alert-count"), firing.length ? `${firing.length} firing` : "");
  document.title = firing.length ? `(${firing.length}) Aerostat` : "Aerostat";
}

function makeAlert(a) {
  const marks = { critical: "▲", warning: "●", info: "ℹ" };
  const li = element("li", a.severity), mark = element("span", "mark", marks[a.severity] ?? "●");
  const what = element("span", "what"), time = element("time");
  mark.setAttribute("aria-label", a.severity);
  mark.setAttribute("role", "img");
  li.dataset.alert = a.name;
  li.append(mark, what, time, element("span", "advice", a.advice));
  return { li, what, time, who: a.uuid ? `${a.name} of ${a.subject}` : a.name };
}

function clock(text) {
  const t = new Date(text);
  return t.toDateString() === new Date().toDateString() ? t.toLocaleTimeString() : t.toLocaleString();
}

function makeRow(uuid) {
  const li = element("li"), button = element("button", "vm"), more = element("div", "more");
  const row = { li, button, more, name: element("span", "name"), sub: element("span", "sub"), bar: element("span", "bar"),
                spark: element("span", "spark"), figures: element("span", "figures") };
  button.type = "button";
  more.hidden = true;
  more.id = `more-${uuid}`;
  button.setAttribute("aria-expanded", "false");
  button.setAttribute("aria-controls", more.id);
  row.title = element("span");
  row.name.append(row.title, row.sub);
  row.bar.setAttribute("role", "img");
  row.size = element("span");
  row.of = element("span", "sub");
  row.figures.append(row.size, row.of);
  button.append(row.name, row.bar, row.spark, row.figures);
  button.addEventListener("click", () => toggle(uuid, row));
  li.append(button, more);
  li.dataset.uuid = uuid;
  return row;
}

function showVm(vm) {
  const row = rows.get(vm.uuid) ?? makeRow(vm.uuid), max = vm.max_bytes || 1, has = vm.actual_bytes ?? max;
  const guest = vm.guest.available_bytes === null ? null : Math.max(0, has - vm.guest.available_bytes);
  const kept = history.vms[vm.uuid] ??= {};
  rows.set(vm.uuid, row);
  setText(row.title, vm.name);
  row.title.title = vm.name;
  const why = vm.state === "managed" ? vm.reason ?? "" : `${vm.state}: ${vm.reason ?? "not seen yet"}`;
  setText(row.sub, why);
  row.sub.className = `sub ${VM_STATES[vm.state] ?? ""}`;
  place(part(row.bar, "actual", "actual"), null, has / max);
  place(part(row.bar, "guest", "guest"), null, (guest ?? 0) / max);
  for (const [key, value] of [["floor", vm.floor_bytes], ["demand", vm.demand_bytes], ["target", vm.target_bytes]]) {
    const mark = part(row.bar, key, `mark ${key}`);
    mark.hidden = value === null;
    place(mark, Math.min(0.997, Math.max(0.003, (value ?? 0) / max)), null);
  }
  row.bar.setAttribute("aria-label", `has ${size(vm.actual_bytes)} of ${size(vm.max_bytes)}, uses ${size(guest)}, ` +
                       `demand ${size(vm.demand_bytes)}, floor ${size(vm.floor_bytes)}`);
  setText(row.size, size(vm.actual_bytes));
  row.size.dataset.value = vm.actual_bytes ?? "";
  setText(row.of, `of ${size(vm.max_bytes)}`);
  lines(row.spark, [["", remember(kept, "actual", vm.actual_bytes)], ["demand", remember(kept, "demand", vm.demand_bytes)]],
        { top: max, label: `${vm.name} over the last minutes` });
  return row;
}

const ORDERS = {
  name: () => 0, pressure: vm => -(vm.guest.psi_some_ratio ?? 0), target: vm => -(vm.actual_bytes ?? vm.max_bytes),
  unmet: vm => -Math.max(0, (vm.demand_bytes ?? 0) - (vm.actual_bytes ?? 0)), state: vm => vm.state in VM_STATES ? 0 : vm.state === "managed" ? 2 : 1,
};

function showVms() {
  const wanted = byId("filter").value.trim().toLowerCase(), order = ORDERS[byId("order").value], ul = byId("vm-list");
  const shown = vms.filter(vm => vm.name.toLowerCase().includes(wanted) || vm.uuid.startsWith(wanted))
    .sort((a, b) => order(a) - order(b) || a.name.localeCompare(b.name));
  const gone = new Set(rows.keys());
  vms.forEach(vm => gone.delete(vm.uuid));
  gone.forEach(uuid => { rows.get(uuid).li.remove(); rows.delete(uuid); delete history.vms[uuid]; });
  arrange(ul, shown.map(vm => rows.get(vm.uuid).li));
  setText(byId("vm-count"), shown.length === vms.length ? `${vms.length}` : `${shown.length} of ${vms.length}`);
  byId("vm-empty").hidden = shown.length > 0;
  setText(byId("vm-empty"), vms.length ? "No virtual machine has such a name." : "No virtual machine runs.");
}

async function toggle(uuid, row) {
  const open = row.more.hidden;
  row.more.hidden = !open;
  row.button.setAttribute("aria-expanded", String(open));
  if (open) await explain(uuid, row);
}

async function explain(uuid, row) {
  const failed = part(row.more, "failed", "note", "p");
  let vm;
  failed.hidden = true;
  try {
    vm = await get(`/api/vm?vm=${encodeURIComponent(uuid)}`);
  } catch (error) {
    setText(failed, `No explanation: ${error.message}.`);
    failed.hidden = false;
    return;
  }
  const g = vm.guest;
  const facts = [
    ["Target", size(vm.target_bytes)], ["Demand", size(vm.demand_bytes)], ["In use in the guest", size(vm.need_bytes)],
    ["Hot cache", size(vm.hot_cache_bytes)],
    ["Headroom", size(vm.headroom_bytes)], ["Entitled to", size(vm.entitled_bytes)], ["Floor", size(vm.floor_in_force_bytes ?? vm.floor_bytes)],
    ["Weight, priority", `${vm.weight}, ${vm.priority}`], ["Resident, swapped", `${size(vm.rss_bytes)}, ${size(vm.swap_bytes)}`],
    ["Available in the guest", size(g.available_bytes)], ["Pressure in the guest", percent(g.psi_some_ratio)],
    ["Guest swap", size(g.swap_used_bytes)],
    ["Reported", vm.report_age_seconds === null ? "never" : `${duration(vm.report_age_seconds)} ago (${vm.source})`],
    ["Last reaction", duration(vm.reaction_seconds)],
  ];
  setText(part(row.more, "explanation", "explanation", "p"), vm.explanation ?? "The policy has not seen it yet.");
  const note = part(row.more, "note", "warn", "p"), dl = part(row.more, "facts", "", "dl");
  setText(note, vm.note ?? "");
  note.hidden = !vm.note;
  for (const [name, value] of facts) {
    const div = part(dl, name, "", "div");
    setText(part(div, "name", "", "dt"), name);
    setText(part(div, "value", "", "dd"), value);
  }
}

function showHead(s) {
  const state = byId("state"), automation = byId("automation");
  setText(state, s.state ?? "no decision yet");
  state.className = `pill ${STATES[s.state] ?? ""}`;
  automation.hidden = s.automation === "running" && s.connected;
  setText(automation, !s.connected ? "libvirt does not answer" : s.automation === "paused" ? "automation is paused" : "dry-run: nothing is changed");
  automation.className = `pill ${s.connected ? "info" : "bad"}`;
  setText(byId("host"), location.hostname);
  setText(byId("version"), s.version);
  setText(byId("uptime"), duration(s.uptime_seconds));
}

function showLink(alive) {
  byId("link").className = `link ${alive ? "live" : "lost"}`;
  setText(byId("link-text"), alive ? "live" : "no answer; trying again"); // told to screen readers; for how long is not
  setText(byId("link-age"), alive || !lastGood ? "" : `for ${duration((Date.now() - lastGood) / 1000)}`);
  document.body.classList.toggle("stale", !alive);
}

async function get(path) {
  const reply = await fetch(path, { signal: AbortSignal.timeout(PATIENCE_MS), cache: "no-store" });
  if (!reply.ok) throw new Error(`the daemon answers ${reply.status}`);
  return reply.json();
}

async function refresh() {
  try {
    const [status, list, alarms] = await Promise.all([get("/api/status"), get("/api/vms"), get("/api/alerts")]);
    vms = list.vms;
    await recallNew();
    showHead(status);
    showEnvelope(status);
    showFacts(status);
    showAlerts(alarms);
    vms.forEach(showVm);
    showVms();
    await Promise.all([...rows].filter(([, row]) => !row.more.hidden).slice(0, 8).map(([uuid, row]) => explain(uuid, row)));
    lastGood = Date.now();
    showLink(true);
  } catch {
    showLink(false);
  }
  document.body.dataset.refreshed = String(Number(document.body.dataset.refreshed ?? 0) + 1);
}

async function loop() {
  if (!document.hidden) await refresh();
  setTimeout(loop, EVERY_MS);
}

byId("controls").addEventListener("submit", event => event.preventDefault());
byId("filter").addEventListener("input", showVms);
byId("order").addEventListener("change", showVms);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  forget(); // nobody looked meanwhile
  refresh();
});
loop();

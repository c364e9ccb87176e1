// The rater's page: one item after the other; an answer is saved before the next item shows.

import * as panes from "./panes.js";

const LEAST_MS = 250; // a key that comes sooner was meant for the item before
const BETWEEN = { 1: "nearer to 0", 2: "nearer to 3", 4: "between 3 and 5" };
const SCORES = ["0", "1", "2", "3", "4", "5"].map((n) => ({ value: n, keys: [n], name: n }));
const VOTES = [
  { value: "left", keys: ["1", "arrowleft"], name: "Left is better", key: "1 \u2190" },
  { value: "tie", keys: ["2", "t", "arrowup"], name: "Equally good", key: "2 \u2191" },
  { value: "both_bad", keys: ["3", "b", "arrowdown"], name: "Both bad", key: "3 \u2193" },
  { value: "right", keys: ["4", "arrowright"], name: "Right is better", key: "4 \u2192" },
];
const $ = (id) => document.getElementById(id);

let rater = sessionStorage.getItem("rater");
let state = null; // what the server said last
let item = null; // what is on the screen
let since = 0; // when it appeared
let busy = false; // an answer given now would be for an item that is about to go
let queue = Promise.resolve();
const loading = new Map(); // pictures under way, by name

start();

async function start() {
  panes.setUp($("panes"));
  $("who").addEventListener("submit", (event) => {
    event.preventDefault();
    begin($("name").value);
  });
  document.addEventListener("keydown", key);
  const tools = { flicker, undo, fold, references: nextReference, leave, broken: () => answer("broken") };
  for (const [id, tool] of Object.entries({ ...tools, "last-undo": undo })) $(id).addEventListener("click", tool);
  // A clicked button would take the next Space for itself.
  document.addEventListener("click", (event) => event.detail && event.target.closest("button")?.blur());
  const wide = innerWidth >= 1500 ? "open" : "folded";
  unfold((localStorage.getItem("checks") ?? wide) === "open");
  if (rater) await begin(rater);
  else ask();
}

function ask() {
  page("start");
  $("name").value = localStorage.getItem("rater") ?? "";
  $("name").focus();
}

async function begin(name) {
  rater = name;
  await post("/api/state", {}, (now) => {
    rater = now.rater;
    sessionStorage.setItem("rater", rater);
    localStorage.setItem("rater", rater);
    $("rater").textContent = rater;
    $("desk").className = now.mode;
  });
}

/** Ask the server for something, after what was asked before, and show the state that it answers with. */
function post(path, told, then = () => {}) {
  queue = queue.then(() => send(path, told, then));
  return queue;
}

async function send(path, told, then) {
  busy = true;
  try {
    const reply = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ rater, ...told }),
    });
    if (!reply.ok) throw new Error(await reply.text());
    const said = await reply.json();
    $("trouble").hidden = true;
    then(said);
    await display(said);
  } catch (error) {
    complain(`That was not saved: ${error.message}. Please try again; earlier answers are safe.`);
  } finally {
    busy = false;
  }
}

async function display(now) {
  const next = now.items[0] ?? null;
  const [source, ...edits] = next ? await Promise.all([next.sources[0], ...next.edits].map(take)) : [];
  const unders = await Promise.all(edits.map(() => panes.copy(source)));
  [state, item] = [now, next];
  if (!item) {
    $("total").textContent = now.total;
    page("end");
    return;
  }
  words();
  page("desk");
  fit($("words"));
  panes.show(arrange(source, edits, unders));
  since = performance.now();
  fetchAhead(now.items.slice(1));
}

function words() {
  $("count").textContent = `${state.done} of ${state.total}`;
  $("progress").max = state.total;
  $("progress").value = state.done;
  $("task").textContent = item.task;
  $("instruction").textContent = item.instruction;
  $("instruction").lang = $("requirement").lang = item.language;
  $("requirement").textContent = item.requirement;
  $("check-list").replaceChildren(...item.checks.map((line) => make("li", line)));
  $("limits").replaceChildren(...item.limits.map((line) => make("li", line)));
  $("limits-title").hidden = !item.limits.length;
  $("references").hidden = item.sources.length < 2;
  item.seen = 0;
  $("flicker").ariaPressed = "false";
  const list = state.mode === "score" ? SCORES : VOTES;
  $("answers").replaceChildren(...list.map(button));
}

/** Set a text as large as it can be seen whole. */
function fit(text) {
  for (const size of ["", "long", "longer"]) {
    text.className = size;
    if (text.scrollHeight <= text.clientHeight) break;
  }
}

function arrange(source, edits, unders) {
  const before = { title: "A", note: "before", label: "A, the picture before the edit", image: source };
  if (state.mode === "score") {
    return [before, { title: "B", note: "after", label: "B, the picture after the edit", image: edits[0], under: unders[0] }];
  }
  const sides = ["Left", "Right"].map((side, i) => {
    return { title: side, note: "after", label: `${side}, a picture after the edit`, image: edits[i], under: unders[i] };
  });
  return [sides[0], { ...before, title: "Before", note: "" }, sides[1]];
}

function button({ value, name, key: shown }) {
  const made = make("button");
  made.dataset.value = value;
  made.append(shown ? make("kbd", shown) : make("b", name), make("span", shown ? name : item.anchors[value] ?? BETWEEN[value]));
  made.addEventListener("click", () => answer(value));
  return made;
}

function answer(value) {
  const ms = Math.round(performance.now() - since);
  if (busy || !item || ms < LEAST_MS) return;
  const chosen = $("answers").querySelector(`[data-value="${value}"]`);
  chosen?.classList.add("chosen");
  const screen = `${innerWidth}x${innerHeight}@${Math.round(devicePixelRatio * 100) / 100}`;
  const saved = () => note(value === "broken" ? "flagged as broken" : `saved: ${plain(value)}`);
  return post("/api/answer", { item: item.id, value, ms, screen }, saved).finally(() => chosen?.classList.remove("chosen"));
}

async function undo() {
  let undone = null;
  await post("/api/undo", {}, (now) => {
    undone = now.undone;
    note(undone === null ? "nothing to undo" : `taken back: ${plain(undone)}`);
  });
  if (undone !== null) $("answers").querySelector(`[data-value="${undone}"]`)?.classList.add("was");
}

function flicker() {
  $("flicker").ariaPressed = `${panes.flick()}`;
}

async function nextReference() {
  if (!item || item.sources.length < 2) return;
  const shown = item;
  item.seen = (item.seen + 1) % item.sources.length;
  const at = item.seen;
  const image = await take(item.sources[at]);
  const note = at ? `reference ${at} of ${item.sources.length - 1}` : "before";
  const where = state.mode === "score" ? 0 : 1;
  if (item === shown && item.seen === at) panes.replace(where, { title: at ? "R" : "A", note, label: note, image });
}

function fold() {
  unfold($("checks").hidden);
}

function unfold(open) {
  $("checks").hidden = !open;
  $("fold").ariaPressed = `${open}`;
  localStorage.setItem("checks", open ? "open" : "folded");
  panes.reset();
}

function leave() {
  sessionStorage.removeItem("rater");
  item = null;
  ask();
}

const TOOLS = {
  " ": flicker, z: undo, f: () => answer("broken"), c: fold, r: nextReference, escape: panes.reset,
  "+": () => panes.zoomBy(1.5), "=": () => panes.zoomBy(1.5), "-": () => panes.zoomBy(1 / 1.5),
};

function key(event) {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || !$("start").hidden) return;
  const pressed = event.key.toLowerCase();
  // Who walks the buttons with Tab presses them with Space.
  if (pressed === " " && document.activeElement.matches("button:focus-visible")) return;
  const list = state?.mode === "vote" ? VOTES : SCORES;
  const choice = list.find(({ keys }) => keys.includes(pressed));
  const work = choice ? () => answer(choice.value) : TOOLS[pressed];
  if (!work) return;
  event.preventDefault();
  work();
}

/** Take pictures as they come: under way already, or asked for now. An element is shown once. */
function take(name) {
  const picture = loading.get(name) ?? panes.load(name);
  loading.delete(name);
  return picture;
}

function fetchAhead(items) {
  const names = items.flatMap(({ sources, edits }) => [...edits, ...sources]);
  for (const old of loading.keys()) if (!names.includes(old)) loading.delete(old);
  for (const name of names) if (!loading.has(name)) loading.set(name, panes.load(name));
}

function page(name) {
  for (const id of ["start", "desk", "end"]) $(id).hidden = id !== name;
}

function note(text) {
  $("note").textContent = text;
}

function complain(text) {
  $("trouble").textContent = text;
  $("trouble").hidden = false;
}

const plain = (value) => value.replace("_", " ");

function make(tag, text = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

// The pictures: side by side, zoomed and moved as one, before and after flickering in place.

const MOST_ZOOM = 24;
const CRISP_FROM = 3; // screen pixels to a picture's pixel, from where its pixels are to be seen as they are

const view = { zoom: 1, x: 0, y: 0 }; // x, y: where the picture's corner lies, in percent of its frame
let panes;

export function setUp(element) {
  panes = element;
  panes.addEventListener("wheel", wheel, { passive: false });
  panes.addEventListener("pointerdown", press);
  panes.addEventListener("dblclick", reset);
  panes.addEventListener("dragstart", (event) => event.preventDefault());
  addEventListener("resize", draw);
}

/** Load a picture and decode it, so that showing it takes no time; null where it cannot be had. */
export async function load(name) {
  const image = new Image();
  image.src = `/picture/${name}`;
  image.draggable = false;
  try {
    await image.decode();
    return image;
  } catch {
    return null;
  }
}

/** Return a second element of a loaded picture, decoded as well; null of null. */
export async function copy(image) {
  const again = image?.cloneNode() ?? null;
  await again?.decode();
  return again;
}

/** Show one pane for each {title, note, label, image, under}; `under` is what flickering shows instead. */
export function show(shown) {
  panes.classList.remove("flicked");
  panes.replaceChildren(...shown.map(figure));
  reset();
}

export function flick() {
  return panes.classList.toggle("flicked");
}

/** Put another picture into the pane at `index`. */
export function replace(index, one) {
  panes.children[index].replaceWith(figure(one));
  draw();
}

export function reset() {
  Object.assign(view, { zoom: 1, x: 0, y: 0 });
  draw();
}

/** Zoom by a factor about a point, in percent of the frame. */
export function zoomBy(factor, x = 50, y = 50) {
  const zoom = clamp(view.zoom * factor, 1, MOST_ZOOM);
  view.x = x - ((x - view.x) * zoom) / view.zoom;
  view.y = y - ((y - view.y) * zoom) / view.zoom;
  view.zoom = zoom;
  draw();
}

function figure({ title, note, label, image, under }) {
  const caption = document.createElement("figcaption");
  caption.append(element("b", title), element("span", note, under && "over"));
  if (under) caption.append(element("span", "before, in the same place", "under"));
  const frame = element("div");
  frame.className = "frame";
  frame.append(picture(image, label, "over"));
  if (under) frame.append(picture(under, "The picture before the edit, in the same place", "under"));
  const whole = element("figure");
  whole.append(caption, frame);
  return whole;
}

function picture(image, label, kind) {
  const shown = image ?? element("p", "This picture cannot be shown: flag it with F.");
  shown.className = image ? kind : "lost";
  shown.alt = label;
  return shown;
}

function element(tag, text = "", kind = "") {
  const made = document.createElement(tag);
  made.className = kind || "";
  made.textContent = text;
  return made;
}

function wheel(event) {
  const frame = event.target.closest(".frame");
  if (!frame) return;
  event.preventDefault();
  const lines = event.deltaMode === 1 ? 30 : 1;
  zoomBy(Math.exp(-event.deltaY * lines * 0.0015), ...place(event, frame));
}

/** Held on a whole picture: look closer while it lasts. On a zoomed one: move it. */
function press(event) {
  const frame = event.target.closest(".frame");
  if (!frame || event.button !== 0) return;
  frame.setPointerCapture(event.pointerId);
  const loupe = view.zoom === 1;
  let last = place(event, frame);
  if (loupe) look(frame, last);
  const move = (moved) => {
    const now = place(moved, frame);
    if (loupe) look(frame, now);
    else pan(now[0] - last[0], now[1] - last[1]);
    last = now;
  };
  const end = () => {
    frame.removeEventListener("pointermove", move);
    if (loupe) reset();
  };
  frame.addEventListener("pointermove", move);
  frame.addEventListener("lostpointercapture", end, { once: true });
}

function look(frame, [x, y]) {
  const zoom = Math.max(2, 1 / perPixel(frame));
  Object.assign(view, { zoom, x: x * (1 - zoom), y: y * (1 - zoom) });
  draw();
}

function pan(x, y) {
  view.x += x;
  view.y += y;
  draw();
}

/** Return screen pixels to a picture's pixel at zoom 1. */
function perPixel(frame) {
  const image = frame.querySelector("img");
  if (!image) return 1;
  const fit = Math.min(frame.clientWidth / image.naturalWidth, frame.clientHeight / image.naturalHeight);
  return fit * devicePixelRatio;
}

function place(event, frame) {
  const box = frame.getBoundingClientRect();
  return [((event.clientX - box.left) / box.width) * 100, ((event.clientY - box.top) / box.height) * 100];
}

function draw() {
  const edge = 100 * (1 - view.zoom);
  view.x = clamp(view.x, edge, 0);
  view.y = clamp(view.y, edge, 0);
  for (const [name, value] of Object.entries(view)) panes.style.setProperty(`--${name}`, value);
  panes.classList.toggle("zoomed", view.zoom > 1);
  for (const frame of panes.querySelectorAll(".frame")) {
    frame.classList.toggle("crisp", perPixel(frame) * view.zoom >= CRISP_FROM);
  }
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

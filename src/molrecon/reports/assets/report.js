"use strict";
// Draws the images of a report. Each viewer shows the panels of a section, all in step: they share
// plane, zoom, grey window and map.

const COLOURS = {
  error: ["#000004", "#1b0c41", "#4a0c6b", "#781c6d", "#a52c60", "#cf4446", "#ed6925", "#fb9b06", "#f7d13d", "#fcffa4"],
  overlay: ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"],
};

/** Return 256 colours [r, g, b] between the stops. */
function colours(stops) {
  const parsed = stops.map((one) => [1, 3, 5].map((at) => parseInt(one.slice(at, at + 2), 16)));
  return Array.from({ length: 256 }, (_, level) => {
    const place = (level / 255) * (parsed.length - 1);
    const before = Math.min(Math.floor(place), parsed.length - 2);
    return parsed[before].map((value, c) => value + (place - before) * (parsed[before + 1][c] - value));
  });
}
const TABLES = { error: colours(COLOURS.error), overlay: colours(COLOURS.overlay) };

/** A pixel as one number, in the byte order of image data (little endian, as all browsers' hosts). */
const packed = ([r, g, b]) => (255 << 24) | (b << 16) | (g << 8) | r;
const ERRORS = Uint32Array.from(TABLES.error, packed);

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const digits = (value) => String(Number(value.toPrecision(3)));

/** The bytes of base64 text. A loop: `Uint8Array.from` with a function takes six times as long. */
function bytes(text) {
  const letters = atob(text);
  const values = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) values[i] = letters.charCodeAt(i);
  return values;
}

/** Wait until the browser has nothing else to do, or for a tenth of a second. */
const idle = () => new Promise((done) =>
  (window.requestIdleCallback ? requestIdleCallback(done, { timeout: 100 }) : setTimeout(done, 20)));

/** The grey values of all planes of an image or map, decoded when they are first asked for. */
class Planes {
  constructor(pictures, height, width, deep) {
    Object.assign(this, { pictures, height, width, deep, known: new Map(), loading: new Map() });
  }

  /** Return the values of a plane, or undefined while it is being decoded; then `ready` is called. */
  at(number, ready) {
    const found = this.known.get(number);
    if (found === undefined) this.load(number).then(ready);
    return found;
  }

  /** Decode a plane; the promise is kept when it is there. */
  load(number) {
    if (!this.loading.has(number)) {
      this.loading.set(number, this.decode(this.pictures[number]).then((values) => this.known.set(number, values)));
    }
    return this.loading.get(number);
  }

  async decode(picture) {
    const blob = new Blob([bytes(picture)], { type: "image/png" });
    const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
    const { context } = surface(bitmap.width, bitmap.height);
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
    bitmap.close();
    const count = this.height * this.width;
    const values = new (this.deep ? Uint16Array : Uint8Array)(count);
    for (let i = 0; i < count; i++) {
      values[i] = this.deep ? data[4 * i] * 256 + data[4 * (i + count)] : data[4 * i];
    }
    return values;
  }
}

function surface(width, height) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  return { canvas, context: canvas.getContext("2d", { willReadFrequently: true }) };
}

class Viewer {
  constructor(root, data) {
    this.root = root;
    this.data = data;
    root.append(document.getElementById("viewer").content.cloneNode(true));
    this.stage = root.querySelector(".stage");
    this.levels = 2 ** data.bits - 1;
    this.state = {
      plane: data.start, zoom: 1, x: 0.5, y: 0.5, black: 0, white: data.white, overlay: data.overlay,
      opacity: 0.6, errors: data.reference, limit: data.limit, view: "all", left: 0, right: 1,
      split: 0.5, cursor: null,
    };
    const load = (pictures, deep) => new Planes(pictures, data.height, data.width, deep);
    this.panels = data.panels.map((one, number) => ({
      ...one, number, shown: one.planes.length > 0,
      planes: load(one.planes, data.bits > 8), ...surface(data.width, data.height),
      error: surface(data.width, data.height),
    }));
    this.maps = data.overlays.map((one) => ({
      ...one,
      planes: new Map(Object.entries(one.planes).map(([n, each]) => [Number(n), load(each, false)])),
    }));
    this.timer = null;
    this.heading = 1;
    this.build();
    this.connect();
    this.set({});
  }

  control(name) {
    return this.root.querySelector(`[name=${name}]`);
  }

  // ---- what stands on the page --------------------------------------------------------------

  build() {
    const { data } = this;
    const grid = this.root.querySelector(".grid");
    for (const panel of this.panels) {
      const figure = document.createElement("figure");
      figure.className = "panel";
      const caption = document.createElement("figcaption");
      const title = document.createElement("strong");
      title.textContent = panel.title;
      const figures = document.createElement("span");
      figures.textContent = panel.caption;
      caption.append(title, figures);
      figure.append(caption);
      if (panel.shown) {
        panel.view = this.canvas("image", figure);
        if (data.reference && panel.number > 0) panel.errorView = this.canvas("error", figure);
      } else {
        const failure = document.createElement("p");
        failure.className = "failure";
        failure.textContent = `No image: ${panel.failure}`;
        figure.append(failure);
      }
      grid.append(figure);
    }
    const shown = this.panels.filter((one) => one.shown);
    // Reference and first method, or the first two.
    this.state.left = shown[0].number;
    this.state.right = (shown[1] ?? shown[0]).number;
    this.pairView = this.root.querySelector(".two canvas");
    const aspect = String(data.width / (data.height * data.aspect));
    this.pairView.style.aspectRatio = aspect;
    this.root.querySelector(".two").style.setProperty("--aspect", aspect);
    for (const name of ["left", "right"]) {
      shown.forEach((one) => this.control(name).add(new Option(one.title, one.number)));
    }
    this.maps.forEach((one, number) => this.control("overlay").add(new Option(one.name, number)));
    const count = data.names.length;
    this.control("plane").max = count - 1;
    this.control("plane").setAttribute("aria-label", `Number of the ${data.plane}`);
    this.root.querySelector(".planes legend").textContent = data.plane === "frame" ? "Frame" : "Slice";
    this.root.querySelector(".planes").hidden = count === 1;
    this.root.querySelector(".overlays").hidden = this.maps.length === 0;
    this.root.querySelector(".view").hidden = shown.length < 2;
    // Radio buttons of one page are told apart by their names.
    this.views = [...this.root.querySelectorAll("[name=view]")];
    this.views.forEach((one) => (one.name = `view-${data.number}`));
    for (const kind of ["error", "overlay"]) {
      const context = this.root.querySelector(`.scale.${kind} canvas`).getContext("2d");
      for (let x = 0; x < 128; x++) {
        context.fillStyle = `rgb(${TABLES[kind][2 * x].map(Math.round).join(" ")})`;
        context.fillRect(x, 0, 1, 1);
      }
    }
  }

  canvas(kind, figure) {
    const { data } = this;
    const canvas = document.createElement("canvas");
    canvas.className = kind;
    canvas.setAttribute("role", "img");
    canvas.style.aspectRatio = String(data.width / (data.height * data.aspect));
    figure.append(canvas);
    return canvas;
  }

  // ---- state --------------------------------------------------------------------------------

  /** Change the state, bring the controls up to it, and draw. */
  set(change) {
    const { data, state } = this;
    if (change.plane !== undefined) this.heading = this.direction(change.plane);
    Object.assign(state, change);
    const count = data.names.length;
    state.plane = clamp(state.plane, 0, count - 1);
    state.zoom = clamp(state.zoom, 1, 16);
    const margin = 0.5 / state.zoom;
    state.x = clamp(state.x, margin, 1 - margin);
    state.y = clamp(state.y, margin, 1 - margin);
    const step = data.top / 1000;
    state.black = clamp(state.black, 0, data.top - step);
    state.white = clamp(state.white, state.black + step, data.top);
    state.split = clamp(state.split, 0, 1);
    this.show();
    this.draw();
  }

  /** The way to a plane, 1 or -1: the shorter one, as after the last plane comes the first. */
  direction(plane) {
    const count = this.data.names.length;
    const by = plane - this.state.plane;
    return by === 0 ? this.heading : Math.sign(by) * (2 * Math.abs(by) > count ? -1 : 1);
  }

  show() {
    const { data, state } = this;
    const put = (name, value) => (this.control(name).value = value);
    put("plane", state.plane);
    put("black", Math.round((state.black / data.top) * 1000));
    put("white", Math.round((state.white / data.top) * 1000));
    put("overlay", state.overlay < 0 ? "" : state.overlay);
    put("opacity", Math.round(state.opacity * 100));
    put("left", state.left);
    put("right", state.right);
    put("split", state.split * 100);
    put("place", `${data.names[state.plane]} (${state.plane + 1} of ${data.names.length})`);
    put("window", `${digits(state.black)} to ${digits(state.white)}`);
    put("zoom", `${Math.round(state.zoom * 100)} %`);
    this.control("errors").checked = state.errors;
    this.views.forEach((one) => (one.checked = one.value === state.view));
    this.root.querySelector(".grid").hidden = state.view !== "all";
    this.root.querySelector(".two").hidden = state.view !== "two";
    this.root.querySelector(".errors").hidden = !data.reference || state.view !== "all";
    this.stage.classList.toggle("zoomed", state.zoom > 1);
    this.control("play").setAttribute("aria-pressed", String(this.timer !== null));
    this.control("play").textContent = this.timer === null ? "Play" : "Pause";
    const place = data.names[state.plane];
    const map = this.maps[state.overlay];
    for (const one of this.panels.filter((each) => each.shown)) {
      const over = map && map.planes.has(one.number) ? `, with the map ${map.name}` : "";
      one.view.setAttribute("aria-label", `${one.title}, ${place}${over}`);
      one.errorView?.setAttribute("aria-label", `Error of ${one.title}, ${place}`);
      if (one.errorView) one.errorView.hidden = !state.errors;
    }
    const [left, right] = [state.left, state.right].map((n) => this.panels[n].title);
    this.pairView.setAttribute("aria-label", `${left} on the left, ${right} on the right, ${place}`);
    this.scale("error", data.reference && state.errors && state.view === "all",
      `|error|, 0 to ${digits((100 * state.limit) / data.peak)} % of the reference's maximum, the same for all`);
    this.scale("overlay", Boolean(map),
      map && `${map.name}: ${digits(map.low)} to ${digits(map.high)} ${map.unit}. ${map.meaning}`);
  }

  scale(kind, shown, text) {
    const scale = this.root.querySelector(`.scale.${kind}`);
    scale.hidden = !shown;
    scale.querySelector("span").textContent = text || "";
  }

  // ---- drawing ------------------------------------------------------------------------------

  draw() {
    this.pending ??= requestAnimationFrame(() => {
      this.pending = null;
      const shown = this.state.view === "all" ? this.panels : this.pair();
      const again = () => this.draw();
      for (const panel of shown) this.paint(panel, again);
      this.present();
      this.read();
      this.ahead();
    });
  }

  /** Decode all other planes in idle time, those next in the direction of turning first. */
  async ahead() {
    if (this.decoding) return;
    this.decoding = true;
    for (let next = this.undecoded(); next.length > 0; next = this.undecoded()) {
      await Promise.all(next.map(({ planes, number }) => planes.load(number)));
      // Planes that are about to be shown are wanted at once.
      if (next[0].distance > 8) await idle();
    }
    this.decoding = false;
  }

  /** The nearest planes ahead that are not decoded, of all that is shown; a few, decoded side by side. */
  undecoded() {
    const count = this.data.names.length;
    const panels = (this.state.view === "all" ? this.panels : this.pair()).filter((one) => one.shown);
    const map = this.maps[this.state.overlay]?.planes;
    const all = panels.flatMap((one) => [one.planes, map?.get(one.number)]).filter(Boolean);
    const found = [];
    for (let distance = 1; distance < count && found.length < 8; distance++) {
      const number = (this.state.plane + this.heading * distance + distance * count) % count;
      const missing = all.filter((one) => !one.known.has(number));
      found.push(...missing.map((planes) => ({ planes, number, distance })));
    }
    return found;
  }

  pair() {
    return [this.panels[this.state.left], this.panels[this.state.right]];
  }

  /** Compute the pixels of a panel and its error, unless they are there already. */
  paint(panel, again) {
    const { data, state } = this;
    if (!panel.shown) return;
    const values = panel.planes.at(state.plane, again);
    const map = this.maps[state.overlay]?.planes.get(panel.number);
    const over = map?.at(state.plane, again);
    if (!values || (map && !over)) return;
    const key = [state.plane, state.black, state.white, map ? state.overlay : "", map ? state.opacity : ""].join();
    if (panel.key !== key) {
      panel.key = key;
      this.grey(panel.context, values, over);
    }
    if (!panel.errorView || !state.errors) return;
    const truth = this.panels[0].planes.at(state.plane, again);
    const errorKey = [state.plane, state.limit].join();
    if (truth && panel.errorKey !== errorKey) {
      panel.errorKey = errorKey;
      const unit = (255 * data.top) / this.levels / (state.limit || 1);
      this.fill(panel.error.context, (pixels) => {
        for (let i = 0; i < pixels.length; i++) {
          pixels[i] = ERRORS[Math.min(255, Math.abs(values[i] - truth[i]) * unit) | 0];
        }
      });
    }
  }

  /** The grey of every value in the present window, as a table. */
  greys() {
    const { data, state } = this;
    const key = `${state.black},${state.white}`;
    if (this.greyKey !== key) {
      this.greyKey = key;
      const gain = 255 / (state.white - state.black);
      const unit = data.top / this.levels;
      this.greyTable = Uint8Array.from({ length: this.levels + 1 }, (_, value) =>
        clamp(Math.round((value * unit - state.black) * gain), 0, 255));
      this.greyPixels = Uint32Array.from(this.greyTable, (level) => packed([level, level, level]));
    }
    return [this.greyTable, this.greyPixels];
  }

  grey(context, values, over) {
    const [levels, greys] = this.greys();
    const share = this.state.opacity;
    this.fill(context, (pixels) => {
      for (let i = 0; i < pixels.length; i++) pixels[i] = greys[values[i]];
      for (let i = 0; over && i < pixels.length; i++) {
        if (over[i] === 0) continue;
        const level = levels[values[i]];
        pixels[i] = packed(TABLES.overlay[over[i]].map((one) => level + share * (one - level)));
      }
    });
  }

  fill(context, paint) {
    const { width, height } = this.data;
    const image = context.createImageData(width, height);
    paint(new Uint32Array(image.data.buffer));
    context.putImageData(image, 0, 0);
  }

  /** Draw what was painted on the page, as zoom and place want it. */
  present() {
    if (this.state.view === "two") {
      const [left, right] = this.pair();
      this.place(this.pairView, left.canvas);
      this.place(this.pairView, right.canvas, this.state.split);
      return;
    }
    for (const panel of this.panels.filter((one) => one.shown)) {
      this.place(panel.view, panel.canvas);
      if (panel.errorView && this.state.errors) this.place(panel.errorView, panel.error.canvas);
    }
  }

  /** Draw a picture on a canvas; `from` a share of its width on, with a line there. */
  place(view, picture, from = null) {
    const { data, state } = this;
    const sharp = window.devicePixelRatio || 1;
    const width = Math.max(1, Math.round(view.clientWidth * sharp));
    const height = Math.max(1, Math.round(view.clientHeight * sharp));
    if (view.width !== width || view.height !== height) Object.assign(view, { width, height });
    // Drawn by the processor, as what is painted on it is: nothing has to be copied to a GPU.
    const context = view.getContext("2d", { alpha: false, willReadFrequently: true });
    const [w, h] = [data.width / state.zoom, data.height / state.zoom];
    const source = [state.x * data.width - w / 2, state.y * data.height - h / 2, w, h];
    context.save();
    if (from !== null) {
      context.beginPath();
      context.rect(from * width, 0, width, height);
      context.clip();
    }
    // Pixels that are large enough to be seen are shown as they are.
    context.imageSmoothingEnabled = width / w < 3;
    context.drawImage(picture, ...source, 0, 0, width, height);
    context.restore();
    this.bar(view, context, width / w);
    context.fillStyle = "#ffb000";
    if (from !== null) context.fillRect(from * width - sharp, 0, 2 * sharp, height);
    if (state.cursor) {
      const x = ((state.cursor.x + 0.5 - source[0]) / w) * width;
      const y = ((state.cursor.y + 0.5 - source[1]) / h) * height;
      context.fillRect(x - 7 * sharp, y, 5 * sharp, sharp);
      context.fillRect(x + 3 * sharp, y, 5 * sharp, sharp);
      context.fillRect(x, y - 7 * sharp, sharp, 5 * sharp);
      context.fillRect(x, y + 3 * sharp, sharp, 5 * sharp);
    }
  }

  /** Draw a bar of a round length, in mm if the size of the pixels is known. */
  bar(view, context, perPixel) {
    if (view.className === "error") return;
    const sharp = window.devicePixelRatio || 1;
    const size = this.data.pixel ?? 1;
    const most = (0.3 * view.width * size) / perPixel;
    const power = 10 ** Math.floor(Math.log10(most));
    const length = power * ([5, 2].find((step) => step * power <= most) ?? 1);
    const span = (length / size) * perPixel;
    const [x, y] = [8 * sharp, view.height - 10 * sharp];
    view.dataset.bar = `${digits(length)} ${this.data.pixel === null ? "pixels" : "mm"}`;
    // Black around it shows it on bright tissue.
    context.fillStyle = "#000";
    context.fillRect(x - sharp, y - sharp, span + 2 * sharp, 5 * sharp);
    context.fillStyle = "#fff";
    context.fillRect(x, y, span, 3 * sharp);
    context.font = `${11 * sharp}px system-ui, sans-serif`;
    context.strokeStyle = "#000";
    context.lineWidth = 3 * sharp;
    context.lineJoin = "round";
    context.strokeText(view.dataset.bar, x, y - 4 * sharp);
    context.fillText(view.dataset.bar, x, y - 4 * sharp);
  }

  /** Write the values below the cursor. */
  read() {
    const { data, state } = this;
    const output = this.root.querySelector(".readout");
    if (!state.cursor) {
      output.value = "";
      return;
    }
    const at = state.cursor.y * data.width + state.cursor.x;
    const parts = this.panels.filter((one) => one.shown).map((one) => {
      const values = one.planes.at(state.plane, () => {});
      const over = this.maps[state.overlay]?.planes.get(one.number)?.at(state.plane, () => {});
      const map = this.maps[state.overlay];
      const also = over && over[at] > 0
        ? ` (${map.name} ${digits(map.low + ((over[at] - 1) / 254) * (map.high - map.low))})` : "";
      return values ? `${one.title} ${digits((values[at] * data.top) / this.levels)}${also}` : "";
    });
    output.value = `row ${state.cursor.y}, column ${state.cursor.x}: ${parts.filter(Boolean).join(", ")}`;
  }

  // ---- what a person does -------------------------------------------------------------------

  connect() {
    const { data, state } = this;
    const on = (name, event, act) => this.control(name).addEventListener(event, act);
    const number = (name) => Number(this.control(name).value);
    this.views.forEach((one) => one.addEventListener("change", () => this.set({ view: one.value })));
    on("plane", "input", () => this.set({ plane: number("plane") }));
    on("before", "click", () => this.turn(-1));
    on("after", "click", () => this.turn(1));
    on("play", "click", () => this.play());
    on("rate", "change", () => this.timer !== null && (this.play(), this.play()));
    on("black", "input", () => this.set({ black: (number("black") / 1000) * data.top }));
    on("white", "input", () => this.set({ white: (number("white") / 1000) * data.top }));
    on("auto", "click", () => this.resetWindow());
    on("in", "click", () => this.set({ zoom: state.zoom * 1.5 }));
    on("out", "click", () => this.set({ zoom: state.zoom / 1.5 }));
    on("fit", "click", () => this.fit());
    on("overlay", "change", () => this.set({ overlay: this.control("overlay").value === "" ? -1 : number("overlay") }));
    on("opacity", "input", () => this.set({ opacity: number("opacity") / 100 }));
    on("errors", "change", () => this.set({ errors: this.control("errors").checked }));
    on("limit", "input", () => this.set({ limit: data.limit * 10 ** (number("limit") / 20) }));
    on("left", "change", () => this.set({ left: number("left") }));
    on("right", "change", () => this.set({ right: number("right") }));
    on("split", "input", () => this.set({ split: number("split") / 100 }));
    this.stage.addEventListener("keydown", (event) => this.key(event));
    for (const canvas of this.stage.querySelectorAll("canvas")) this.pointer(canvas);
    new ResizeObserver(() => this.draw()).observe(this.stage);
  }

  turn(by) {
    const count = this.data.names.length;
    this.set({ plane: (this.state.plane + by + count) % count });
  }

  play() {
    if (this.timer === null) {
      const rate = clamp(Number(this.control("rate").value) || 15, 1, 60);
      this.timer = setInterval(() => this.turn(1), 1000 / rate);
    } else {
      clearInterval(this.timer);
      this.timer = null;
    }
    this.set({});
  }

  fit() {
    this.set({ zoom: 1, x: 0.5, y: 0.5 });
  }

  resetWindow() {
    this.set({ black: 0, white: this.data.white });
  }

  /** Zoom by a factor, with the point of the image at a place of the canvas staying there. */
  zoomAt(factor, across, down) {
    const { state } = this;
    const zoom = clamp(state.zoom * factor, 1, 16);
    const shift = 1 / state.zoom - 1 / zoom;
    this.set({ zoom, x: state.x + (across - 0.5) * shift, y: state.y + (down - 0.5) * shift });
  }

  key(event) {
    const { data, state } = this;
    if (event.target.matches("input, select, button") || event.ctrlKey || event.metaKey || event.altKey) return;
    const pan = 0.1 / state.zoom;
    const width = state.white - state.black;
    const shifted = { ArrowUp: { y: state.y - pan }, ArrowDown: { y: state.y + pan }, ArrowLeft: { x: state.x - pan }, ArrowRight: { x: state.x + pan } };
    const next = (state.overlay + 2) % (this.maps.length + 1) - 1;
    const acts = {
      ArrowUp: () => this.turn(-1), ArrowDown: () => this.turn(1),
      PageUp: () => this.set({ plane: state.plane - 10 }), PageDown: () => this.set({ plane: state.plane + 10 }),
      Home: () => this.set({ plane: 0 }), End: () => this.set({ plane: data.names.length - 1 }),
      ArrowLeft: () => this.set({ split: state.split - 0.02 }), ArrowRight: () => this.set({ split: state.split + 0.02 }),
      " ": () => data.names.length > 1 && this.play(),
      "+": () => this.set({ zoom: state.zoom * 1.5 }), "=": () => this.set({ zoom: state.zoom * 1.5 }),
      "-": () => this.set({ zoom: state.zoom / 1.5 }), 0: () => this.fit(),
      "[": () => this.set({ white: state.black + width * 1.1 }), "]": () => this.set({ white: state.black + width / 1.1 }),
      r: () => this.resetWindow(), o: () => this.set({ overlay: next }),
      e: () => data.reference && this.set({ errors: !state.errors }),
      c: () => this.set({ view: state.view === "all" ? "two" : "all" }),
    };
    const act = event.shiftKey && shifted[event.key] ? () => this.set(shifted[event.key]) : acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  pointer(canvas) {
    const { data, state } = this;
    let drag = null;
    const share = (event) => {
      const box = canvas.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && data.names.length === 1) return;  // The page scrolls.
      event.preventDefault();
      if (event.ctrlKey) this.zoomAt(event.deltaY < 0 ? 1.25 : 0.8, ...share(event));
      else this.set({ plane: state.plane + Math.sign(event.deltaY) });
    }, { passive: false });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("dblclick", () => this.fit());
    canvas.addEventListener("pointerdown", (event) => {
      const window = event.shiftKey || event.button === 2;
      drag = { at: share(event), ...state, kind: window ? "window" : canvas === this.pairView ? "split" : "pan" };
      canvas.setPointerCapture(event.pointerId);
      if (drag.kind === "split") this.set({ split: drag.at[0] });
    });
    canvas.addEventListener("pointerup", () => (drag = null));
    canvas.addEventListener("pointercancel", () => (drag = null));
    canvas.addEventListener("pointerleave", () => this.set({ cursor: null }));
    canvas.addEventListener("pointermove", (event) => {
      const [across, down] = share(event);
      if (drag === null) {
        const x = Math.floor((state.x + (across - 0.5) / state.zoom) * data.width);
        const y = Math.floor((state.y + (down - 0.5) / state.zoom) * data.height);
        this.set({ cursor: { x: clamp(x, 0, data.width - 1), y: clamp(y, 0, data.height - 1) } });
        return;
      }
      const [dx, dy] = [across - drag.at[0], down - drag.at[1]];
      if (drag.kind === "pan") this.set({ x: drag.x - dx / drag.zoom, y: drag.y - dy / drag.zoom });
      else if (drag.kind === "split") this.set({ split: across });
      else {
        const width = (drag.white - drag.black) * 2 ** (2 * dx);
        const level = (drag.white + drag.black) / 2 + dy * data.white;
        this.set({ black: Math.max(0, level - width / 2), white: Math.max(0, level - width / 2) + width });
      }
    });
  }
}

const sections = JSON.parse(document.getElementById("data").textContent);
for (const root of document.querySelectorAll(".viewer")) {
  const number = Number(root.dataset.section);
  root.viewer = new Viewer(root, { ...sections[number], number });
}
document.querySelector("[name=theme]").addEventListener("change", (event) => {
  document.documentElement.style.colorScheme = event.target.value;
});

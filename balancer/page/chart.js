// A small chart of the last ten minutes, drawn by hand: lines over time, a scale, and a cursor to read by.
import { make, draw, say, mark, short } from "./tools.js";

const WIDTH = 600;
const HEIGHT = 100;

export class Chart {
  // One line for each of `tracks`, of their `field` times `factor`; the scale ends at `least` or higher.
  constructor(title, tracks, { field, unit = "", factor = 1, least = 1 }) {
    Object.assign(this, { title, tracks, field, unit, factor, least, cursor: null });
    this.now = make("span", { class: "now" });
    this.paths = tracks.map((track) => draw("path", { class: `is-${track}` }));
    this.line = draw("line", { class: "cursor", y1: 0, y2: HEIGHT, visibility: "hidden" });
    const half = draw("line", { x1: 0, x2: WIDTH, y1: HEIGHT / 2, y2: HEIGHT / 2 });
    this.svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", tabindex: "0" }, half, ...this.paths, this.line);
    this.most = make("span", { class: "most", "aria-hidden": "true" });
    this.half = make("span", { class: "half", "aria-hidden": "true" });
    this.from = make("span", {}, "10 min ago");
    this.to = make("span", {}, "now");
    this.element = make(
      "figure",
      { class: "chart" },
      make("figcaption", {}, make("h3", {}, title), this.now),
      make("div", { class: "plot" }, this.svg, this.most, this.half),
      make("div", { class: "axis", "aria-hidden": "true" }, this.from, this.to),
    );
    this.labels = new Map();
    this.listen();
  }

  listen() {
    const move = (at) => {
      this.cursor = at === null ? null : Math.min(Math.max(at, 0), this.samples - 1);
      this.read();
    };
    this.svg.addEventListener("pointermove", (event) => {
      const box = this.svg.getBoundingClientRect();
      move(Math.round(((event.clientX - box.left) / box.width) * (this.samples - 1)));
    });
    this.svg.addEventListener("pointerleave", () => move(null));
    this.svg.addEventListener("blur", () => move(null));
    this.svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -15, PageDown: 15 }[event.key];
      if (!step) return;
      event.preventDefault();
      move((this.cursor ?? this.samples - 1) + step);
    });
  }

  // `history`: the columns of a track, the latest value last.
  update(history, samples, sampleSeconds) {
    this.samples = samples || 2;
    this.sampleSeconds = sampleSeconds || 2;
    this.columns = this.tracks.map((track) => (history(track)[this.field] || []).map((value) => value === null ? null : value * this.factor));
    this.top = nice(Math.max(this.least, ...this.columns.flat().filter((value) => value !== null)));
    this.columns.forEach((values, at) => mark(this.paths[at], "d", this.path(values)));
    say(this.most, this.tick(this.top));
    say(this.half, this.tick(this.top / 2));
    this.read();
  }

  text(value) {
    return value === null || value === undefined ? "–" : `${short(value)}${this.unit}`;
  }

  // On the scale are round numbers.
  tick(value) {
    return `${Number(value.toPrecision(3))}${this.unit}`;
  }

  path(values) {
    const step = WIDTH / (this.samples - 1);
    let path = "";
    let pen = false;
    values.forEach((value, at) => {
      if (value === null) {
        pen = false;
        return;
      }
      const x = (WIDTH - (values.length - 1 - at) * step).toFixed(1);
      const y = (HEIGHT - 2 - (HEIGHT - 6) * (value / this.top)).toFixed(1);
      // A single point between gaps is a dot: a line of no length with round ends.
      path += pen ? `L${x} ${y}` : `M${x} ${y}h0`;
      pen = true;
    });
    return path;
  }

  // What stands beside the title: the values under the cursor, else the latest.
  read() {
    const back = this.cursor === null ? 0 : this.samples - 1 - this.cursor;
    const x = (this.cursor ?? 0) * (WIDTH / (this.samples - 1));
    mark(this.line, "visibility", this.cursor === null ? "hidden" : "visible");
    mark(this.line, "x1", `${x}`);
    mark(this.line, "x2", `${x}`);
    const words = [];
    this.tracks.forEach((track, at) => {
      const values = this.columns[at];
      const text = `${track} ${this.text(values[values.length - 1 - back])}`;
      words.push(text);
      if (!this.labels.has(at)) {
        this.labels.set(at, make("span", { class: `is-${track}` }));
        this.now.append(this.labels.get(at));
      }
      say(this.labels.get(at), text);
    });
    const when = back ? `${back * this.sampleSeconds} s ago` : "now";
    say(this.to, when);
    // Not the latest values: a reader would speak every second.
    mark(this.svg, "aria-label", this.cursor === null ? `${this.title}, the last 10 minutes; arrow keys read it` : `${when}: ${words.join(", ")}`);
  }
}

// The next of 1, 2, 5, 10, 20, 50…
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  const lead = value / power;
  return power * (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10);
}

// Traffic over time by program, stacked. Drag to zoom; the zoomed span is the selection.

const MOST_SERIES = 7;
const COLOURS = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7"];
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A time at the axis, as exact as the step between two of them needs. */
function tickText(seconds, step) {
  const text = new Date(seconds * 1e3).toISOString();
  if (step >= 86400) return text.slice(0, 10);
  if (step >= 60) return seconds % 86400 ? text.slice(11, 16) : text.slice(0, 10);
  return step >= 1 ? text.slice(11, 19) : text.slice(11, 23);
}

class Timeline {
  constructor(root, model) {
    Object.assign(this, { root, model, hidden: new Set() });
    this.plotRoot = element("div", { class: "plot", tabindex: 0, role: "img" });
    this.legend = element("div", { class: "legend", role: "group", "aria-label": "Programs" });
    root.replaceChildren(this.plotRoot, this.legend);
    this.plotRoot.addEventListener("keydown", (event) => this.pressed(event));
    this.plotRoot.addEventListener("dblclick", () => this.model.select({ from: NaN, to: NaN }));
    new ResizeObserver(() => this.draw()).observe(this.plotRoot);
    model.listeners.push(() => this.draw());
  }

  /** Begin and end of all, in microseconds. */
  whole() {
    const { start, width, bins } = this.model.head.timeline;
    return [start, start + width * Math.max(1, bins)];
  }

  /** Begin and end of what is shown. */
  span() {
    const { from, to } = this.model.selection;
    const [begin, end] = this.whole();
    return [Number.isNaN(from) ? begin : Math.max(begin, from), Number.isNaN(to) ? end : Math.min(end, to)];
  }

  /** The stacked series of a span: times (seconds), one array of bytes a second for each program, and the programs. */
  series(slots) {
    const { model } = this, { head, timeline } = model, { start, width, bins } = head.timeline;
    const [begin, end] = this.span();
    const first = Math.max(0, Math.floor((begin - start) / width));
    const last = Math.min(Math.max(1, bins), Math.max(first + 1, Math.ceil((end - start) / width)));
    const step = Math.max(1, Math.ceil((last - first) / slots));
    const count = Math.ceil((last - first) / step);
    const { host, program, process } = model.selection;
    const only = process >= 0 ? model.processes.name[process] : program;
    const each = (take) => {
      for (let at = 0; at < timeline.bin.length; at++) {
        const series = head.timeline.series[timeline.series[at]], bin = timeline.bin[at];
        if (bin < first || bin >= last || (host >= 0 && series.host !== host) || (only >= 0 && series.name !== only)) continue;
        take(series.name, bin, timeline.bytes[at]);
      }
    };
    const totals = new Map();
    each((name, _, bytes) => totals.set(name, (totals.get(name) ?? 0) + bytes));
    const all = [...totals].sort((a, b) => b[1] - a[1]);
    const shown = all.slice(0, all.length === MOST_SERIES + 1 ? all.length : MOST_SERIES)
      .map(([name, bytes]) => ({ name, bytes, values: new Float64Array(count) }));
    if (all.length > shown.length) {
      const rest = all.slice(shown.length);
      shown.push({ name: -1, bytes: rest.reduce((sum, one) => sum + one[1], 0), values: new Float64Array(count), count: rest.length });
    }
    const places = new Map(shown.map((one) => [one.name, one]));
    each((name, bin, bytes) => { (places.get(name) ?? places.get(-1)).values[Math.floor((bin - first) / step)] += bytes; });
    const times = Float64Array.from({ length: count + 1 }, (_, at) => (start + (first + at * step) * width) / 1e6);
    return { times, shown, seconds: (step * width) / 1e6 };
  }

  /** The colour of a program stays the same while the selection changes. */
  colourOf(name) {
    if (name < 0) return colour("--c-rest");
    if (name === 0) return colour("--c-none");
    if (!this.places) {
      const totals = new Map();
      const { timeline, head } = this.model;
      timeline.series.forEach((series, at) => {
        const { name } = head.timeline.series[series];
        if (name) totals.set(name, (totals.get(name) ?? 0) + timeline.bytes[at]);
      });
      this.places = new Map([...totals].sort((a, b) => b[1] - a[1]).map(([name], at) => [name, at]));
    }
    return colour(COLOURS[this.places.get(name) % COLOURS.length]);
  }

  nameOf({ name, count }) { return name < 0 ? counted(count, "other program") : this.model.programName(name); }

  draw() {
    const width = this.plotRoot.clientWidth, height = this.plotRoot.clientHeight;
    if (!width || !height) return;
    const { times, shown, seconds } = this.series(Math.max(20, Math.floor(width / 3)));
    // The programs as they lie above each other: the last one of the list is the lowest.
    let below = new Float64Array(times.length);
    const stacked = [...shown].reverse().map((one) => {
      const sum = Float64Array.from(below, (value, at) => value + (one.values[Math.min(at, one.values.length - 1)] ?? 0) / seconds);
      below = sum;
      return { one, sum };
    }).reverse();
    this.plot?.destroy();
    const axis = { stroke: () => colour("--muted"), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { stroke: () => colour("--line"), width: 1 },
      font: "11px system-ui, sans-serif" };
    const options = {
      width, height, legend: { show: false }, padding: [8, 22, 0, 0],
      tzDate: (time) => uPlot.tzDate(new Date(time * 1e3), "Etc/UTC"),
      cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false } },
      scales: { x: { time: true, range: () => [times[0], Math.max(times[times.length - 1], times[0] + 1e-6)] },
        y: { range: (_, __, max) => [0, max > 0 ? max * 1.05 : 1] } },
      series: [{}, ...stacked.map(({ one }) => ({ fill: () => this.colourOf(one.name), stroke: () => this.colourOf(one.name), width: 0,
        paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } }))],
      axes: [{ ...axis, size: 30, values: (_, all, __, ___, step) => all.map((value) => tickText(value, step)) }, { ...axis, size: 78, incrs: Array.from({ length: 50 }, (_, at) => 2 ** at), values: (_, all) => all.map((value) => `${bytesText(value)}/s`) }],
      hooks: { setSelect: [(plot) => this.dragged(plot)] },
    };
    this.plot = new uPlot(options, [times, ...stacked.map(({ sum }) => sum)], this.plotRoot);
    const [begin, end] = this.span();
    this.plotRoot.setAttribute("aria-label", `Traffic by program from ${timeText(begin)} to ${timeText(end)}. `
      + "Keys: plus and minus zoom, left and right move, 0 shows all.");
    this.drawLegend(shown);
  }

  drawLegend(shown) {
    const focused = this.legend.contains(document.activeElement) ? document.activeElement.dataset.name : undefined;
    this.legend.replaceChildren(...shown.map((one) => {
      const mark = element("span", { class: "mark", "aria-hidden": "true" });
      mark.style.background = this.colourOf(one.name);
      const isOn = one.name >= 0 && this.model.selection.program === one.name;
      const button = element("button", { type: "button", "data-name": one.name, "aria-pressed": String(isOn),
        onclick: () => this.model.select({ program: isOn ? -1 : one.name, process: -1 }) }, mark,
        element("span", { class: "cut-text" }, this.nameOf(one)), element("span", { class: "muted" }, bytesText(one.bytes)));
      if (one.name < 0) button.disabled = true;
      return button;
    }));
    if (focused !== undefined) this.legend.querySelector(`[data-name="${focused}"]`)?.focus();
  }

  dragged(plot) {
    const { left, width } = plot.select;
    if (width < 4) return;
    const at = (pixels) => Math.round(plot.posToVal(pixels, "x") * 1e6);
    this.zoom(at(left), at(left + width));
  }

  /** Selects a span, at least as long as what is counted together. */
  zoom(from, to) {
    const [begin, end] = this.whole();
    const least = this.model.head.timeline.width;
    if (to - from < least) to = from + least;
    if (from <= begin && to >= end) this.model.select({ from: NaN, to: NaN });
    else this.model.select({ from: Math.max(begin, from), to: Math.min(end, to) });
  }

  pressed(event) {
    const [from, to] = this.span(), [begin, end] = this.whole(), length = to - from;
    const move = (step) => {
      const by = Math.max(begin - from, Math.min(end - to, step));
      this.zoom(from + by, to + by);
    };
    if (event.key === "+" || event.key === "=") this.zoom(from + length / 4, to - length / 4);
    else if (event.key === "-") this.zoom(from - length / 2, to + length / 2);
    else if (event.key === "ArrowLeft") move(-length / 4);
    else if (event.key === "ArrowRight") move(length / 4);
    else if (event.key === "0") this.model.select({ from: NaN, to: NaN });
    else return;
    event.preventDefault();
  }
}

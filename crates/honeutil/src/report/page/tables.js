// The views that are tables: connections, processes, names, indicators.

const nanAsEmpty = (number, write) => (Number.isNaN(number) ? "" : write(number));

/** An address with its port. */
const endText = (address, port) => (port ? `${address.includes(":") ? `[${address}]` : address}:${port}` : address);

/** Columns about the process of a row. `of(row)` is the process's number. */
function processColumns(model, of, ranks) {
  const { processes } = model;
  const text = (column) => (row) => (of(row) === NONE ? "" : model.text(processes[column][of(row)]));
  const rank = (column) => (row) => (of(row) === NONE ? NaN : model.rank(processes[column][of(row)]));
  return [
    { key: "program", title: "Program", width: 110, grow: 1, rank: 1, text: (row) => (of(row) === NONE ? "–" : model.processName(of(row))), value: rank("name") },
    { key: "pid", title: "PID", width: 64, right: true, rank: ranks.pid, text: (row) => (of(row) === NONE ? "" : String(processes.pid[of(row)])), value: (row) => (of(row) === NONE ? NaN : processes.pid[of(row)]) },
    { key: "user", title: "User", width: 80, rank: ranks.user, text: text("user"), value: rank("user") },
  ];
}

class Connections {
  constructor(model) {
    this.model = model;
    const { connections } = model;
    const number = (key, title, width, rank, of, write = thousands) => ({ key, title, width, rank, right: true, value: of, text: (row) => nanAsEmpty(of(row), write) });
    const end = (side) => (row) => endText(model.text(connections[`${side}_address`][row]), connections[`${side}_port`][row]);
    this.grid = new Grid(byId("connection-grid"), {
      label: "Connections", sort: { key: "open", down: false },
      open: (row) => model.select({ connection: model.selection.connection === row ? -1 : row }),
      isChosen: (row) => model.selection.connection === row,
      columns: [
        { key: "open", title: "Begin (UTC)", width: 148, rank: 6, text: (row) => timeText(connections.open[row]), value: (row) => connections.open[row] },
        ...processColumns(model, (row) => connections.process[row], { pid: 7, user: 9 }),
        { key: "protocol", title: "Proto", width: 46, rank: 5, text: (row) => model.protocol(connections.protocol[row]), value: (row) => connections.protocol[row] },
        { key: "direction", title: "Began", width: 46, rank: 8, text: (row) => DIRECTIONS[connections.initiated[row]], value: (row) => connections.initiated[row] },
        { key: "local", title: "Local", width: 140, grow: 1, rank: 10, text: end("local"), value: (row) => model.rank(connections.local_address[row]) * 65536 + connections.local_port[row] },
        { key: "remote", title: "Remote", width: 140, grow: 1, rank: 2, text: end("remote"), value: (row) => model.rank(connections.remote_address[row]) * 65536 + connections.remote_port[row] },
        { key: "name", title: "Name", width: 130, grow: 1, rank: 4, hidden: () => !model.hasNames, text: (row) => model.text(connections.remote_name[row]), value: (row) => model.rank(connections.remote_name[row]) },
        number("packets", "Packets", 66, 11, (row) => model.packets(row)),
        number("sent", "Sent", 82, 3, (row) => connections.bytes_out[row]),
        number("received", "Received", 82, 3, (row) => connections.bytes_in[row]),
        number("duration", "Duration", 78, 12, (row) => connections.close[row] - connections.open[row], spanText),
        { key: "how", title: "How", width: 110, rank: 13, text: (row) => model.text(connections.how[row]), value: (row) => model.rank(connections.how[row]) },
      ],
    });
  }

  draw() {
    const { model } = this, rows = model.selected("connection");
    let bytes = 0, packets = 0;
    for (const row of rows) { bytes += model.bytes(row); packets += model.packets(row); }
    byId("connection-count").textContent = `${counted(rows.length, "connection")} of ${thousands(model.connections.count)}, ${counted(packets, "packet")}, ${thousands(bytes)} bytes`;
    this.grid.show(rows);
  }
}

class Processes {
  constructor(model) {
    this.model = model;
    this.closed = new Set();
    this.depths = new Map();
    const { processes } = model;
    const text = (key, title, width, rank, grow) => ({ key, title, width, rank, grow, text: (row) => model.text(processes[key][row]), value: (row) => model.rank(processes[key][row]) });
    const number = (key, title, width, rank, of, write = thousands) => ({ key, title, width, rank, right: true, value: of, text: (row) => nanAsEmpty(of(row), write) });
    const [program, pid, user] = processColumns(model, (row) => row, { pid: 2, user: 4 });
    this.grid = new Grid(byId("process-grid"), {
      label: "Processes", sorted: () => this.draw(), isChosen: (row) => model.selection.process === row, sort: { key: "start", down: false },
      open: (row) => model.select({ process: model.selection.process === row ? -1 : row, program: -1 }),
      key: (key, row) => this.branch(key, row),
      columns: [
        { ...program, width: 170, paint: (cell, row) => this.paint(cell, row) }, pid, user,
        text("unit", "Unit", 110, 6, 1), text("container", "Container", 90, 9),
        { key: "start", title: "Started (UTC)", width: 148, rank: 5, text: (row) => timeText(processes.start[row]), value: (row) => processes.start[row] },
        number("ran", "Ran", 78, 8, (row) => processes.end[row] - processes.start[row], spanText),
        number("packets", "Packets", 66, 7, (row) => processes.packets[row]),
        number("bytes", "Bytes", 96, 3, (row) => processes.bytes[row]),
        text("args", "Arguments", 150, 4, 3),
      ],
    });
    byId("all-processes").addEventListener("change", () => this.draw());
    byId("collapse").addEventListener("click", () => { for (const one of model.children.keys()) this.closed.add(one); this.draw(); });
    byId("expand").addEventListener("click", () => { this.closed.clear(); this.draw(); });
  }

  paint(cell, row) {
    const indent = element("span");
    indent.style.paddingLeft = `${Math.min(this.depths.get(row) ?? 0, 14) * 14}px`;
    const isClosed = this.closed.has(row);
    const twisty = this.open.has(row) ? element("button", { type: "button", class: "twisty", tabindex: -1, "aria-label": isClosed ? "open" : "close",
      onclick: () => { this.branch(isClosed ? "ArrowRight" : "ArrowLeft", row); } }, isClosed ? "▸" : "▾") : element("span", { class: "twisty" });
    twisty.style.display = "inline-block";
    cell.append(indent, twisty, this.model.processName(row));
    cell.title = this.model.text(this.model.processes.path[row]) || this.model.processName(row);
  }

  branch(key, row) {
    if (row === undefined || (key !== "ArrowLeft" && key !== "ArrowRight")) return false;
    if (key === "ArrowLeft") this.closed.add(row);
    else this.closed.delete(row);
    this.draw();
    return true;
  }

  /** Processes of the selected connections, with all above them. */
  wanted() {
    const { model } = this, { processes, connections } = model;
    const wanted = new Uint8Array(processes.count);
    if (byId("all-processes").checked) {
      const { host } = model.selection;
      return wanted.map((_, row) => (host < 0 || processes.host[row] === host ? 1 : 0));
    }
    const own = new Set();
    for (const row of model.selected("process")) if (connections.process[row] !== NONE) own.add(connections.process[row]);
    // Processes whose packets were all counted in connections of others.
    if (model.isEmpty()) processes.packets.forEach((count, row) => { if (count) own.add(row); });
    for (let at of own) while (at < processes.count && !wanted[at]) { wanted[at] = 1; at = model.above[at]; }
    this.withTraffic = own.size;
    return wanted;
  }

  draw() {
    const { model } = this, wanted = this.wanted(), rows = [];
    const column = this.grid.columns.find((column) => column.key === this.grid.sort.key);
    const sign = this.grid.sort.down ? -1 : 1;
    const sorted = (all) => {
      const some = all.filter((row) => wanted[row]);
      const values = new Map(some.map((row) => [row, column.value(row)]));
      const of = (row) => (Number.isNaN(values.get(row)) ? -Infinity : values.get(row));
      return some.sort((a, b) => { const [x, y] = [of(a), of(b)]; return x === y ? a - b : x < y ? -sign : sign; });
    };
    this.depths.clear();
    this.open = new Set();
    const stack = sorted(model.roots).reverse().map((row) => [row, 0]);
    while (stack.length) {
      const [row, depth] = stack.pop();
      rows.push(row);
      this.depths.set(row, depth);
      const below = sorted(model.children.get(row) ?? []);
      if (below.length) this.open.add(row);
      if (this.closed.has(row)) continue;
      for (const child of below.reverse()) stack.push([child, depth + 1]);
    }
    const all = thousands(model.processes.count);
    byId("process-count").textContent = byId("all-processes").checked ? `${all} processes` : `${thousands(this.withTraffic)} with traffic of ${all}`;
    this.grid.show(rows);
  }
}

class Names {
  constructor(model) {
    this.model = model;
    const { names } = model;
    const text = (key, title, width, rank, grow) => ({ key, title, width, rank, grow, text: (row) => model.text(names[key][row]), value: (row) => model.rank(names[key][row]) });
    this.grid = new Grid(byId("name-grid"), {
      label: "Names", sort: { key: "time", down: false }, empty: names.count ? undefined : "No names are recorded in these files.",
      open: (row) => { if (names.name[row]) model.select({ words: `domain:"${model.text(names.name[row])}"` }); },
      columns: [
        { key: "time", title: "Time (UTC)", width: 148, rank: 4, text: (row) => timeText(names.time[row]), value: (row) => names.time[row] },
        text("kind", "From", 46, 3),
        // What was cut off has no name, and comes last.
        { ...text("name", "Name", 160, 1, 2), value: (row) => (names.name[row] ? model.rank(names.name[row]) : NaN) }, ...processColumns(model, (row) => names.process[row], { pid: 6, user: 7 }),
        text("answers", "Answers", 150, 2, 2), text("details", "Details", 120, 5, 1),
      ],
    });
  }

  draw() {
    const { model } = this, { names, processes } = model, { host, process, program, from, to } = model.selection;
    const rows = [];
    for (let row = 0; row < names.count; row++) {
      const own = names.process[row];
      if (host >= 0 && names.host[row] !== host) continue;
      if (process >= 0 && own !== process) continue;
      if (program >= 0 && (own === NONE ? 0 : processes.name[own]) !== program) continue;
      if (names.time[row] < from || names.time[row] > to) continue;
      rows.push(row);
    }
    byId("name-count").textContent = names.count ? `${counted(rows.length, "name")} of ${thousands(names.count)}` : "";
    this.grid.show(rows);
  }
}

/** Whether an address is of a network that only its own hosts reach (RFC 1918, 4193, 6598, 3927, 4291). */
const isPrivate = (address) => /^(10\.|127\.|0\.|169\.254\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|2(2[4-9]|[345]\d)\.|::1?$|f[cdef])/i.test(address);

class Indicators {
  constructor(model) {
    this.model = model;
    this.items = [];
    const at = (row) => this.items[row];
    this.grid = new Grid(byId("indicator-grid"), {
      label: "Indicators", sort: { key: "kind", down: false },
      columns: [
        { key: "kind", title: "Kind", width: 70, rank: 2, text: (row) => at(row).kind, value: (row) => ["address", "domain", "path", "sha256"].indexOf(at(row).kind) },
        { key: "value", title: "Value", width: 190, grow: 3, rank: 1, text: (row) => at(row).value },
        { key: "of", title: "Of", width: 150, grow: 2, rank: 4, text: (row) => at(row).of },
        { key: "first", title: "First (UTC)", width: 148, rank: 5, text: (row) => timeText(at(row).first), value: (row) => at(row).first },
        { key: "bytes", title: "Bytes", width: 96, right: true, rank: 3, text: (row) => nanAsEmpty(at(row).bytes, thousands), value: (row) => at(row).bytes },
      ],
    });
    byId("public-only").addEventListener("change", () => this.draw());
    byId("copy-indicators").addEventListener("click", (event) => copyText(this.grid.order.map((row) => `${at(row).kind}\t${at(row).value}`).join("\n") + "\n", event.target));
  }

  draw() {
    const { model } = this, { connections, processes } = model, rows = model.selected();
    const isPublicOnly = byId("public-only").checked;
    const programs = new Map();
    const item = (kind, sum, value) => ({ kind, value, first: sum.first, bytes: sum.bytes, of: [...(programs.get(`${kind} ${sum.key}`) ?? [])].map((one) => model.programName(one)).join(", ") });
    for (const row of rows) {
      for (const key of [`address ${connections.remote_address[row]}`, `domain ${connections.remote_name[row]}`]) {
        const known = programs.get(key) ?? new Set();
        if (known.size < 5) known.add(model.program(row));
        programs.set(key, known);
      }
    }
    this.items = model.sums(rows, (row) => connections.remote_address[row]).filter((sum) => sum.key)
      .map((sum) => item("address", sum, model.text(sum.key))).filter(({ value }) => !isPublicOnly || !isPrivate(value));
    this.items.push(...model.sums(rows, (row) => connections.remote_name[row]).filter((sum) => sum.key).map((sum) => item("domain", sum, model.text(sum.key))));
    const path = (row) => (connections.process[row] === NONE ? 0 : processes.path[connections.process[row]]);
    this.items.push(...model.sums(rows, path).filter((sum) => sum.key).map((sum) => item("path", sum, model.text(sum.key))));
    const hash = (row) => (connections.process[row] === NONE ? 0 : processes.sha256[connections.process[row]]);
    // A text that is not a hash says why there is none.
    this.items.push(...model.sums(rows, hash).filter((sum) => /^[0-9a-f]{64}$/.test(model.text(sum.key))).map((sum) => item("sha256", sum, model.text(sum.key))));
    for (const file of model.head.files) if (file.sha256) this.items.push({ kind: "sha256", value: file.sha256, of: file.name, first: NaN, bytes: NaN });
    byId("indicator-count").textContent = counted(this.items.length, "indicator");
    this.grid.show(Uint32Array.from(this.items.keys()));
  }
}

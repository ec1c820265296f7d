// Listeners and regular intervals, computed from the selected connections.

const LEAST_STARTS = 5;
const LEAST_INTERVAL = 0.5e6;
const MOST_SPREAD = 0.15;

const median = (sorted) => (sorted.length % 2 ? sorted[(sorted.length - 1) / 2] : (sorted[sorted.length / 2 - 1] + sorted[sorted.length / 2]) / 2);
const increasing = (a, b) => a - b;

/** {interval, spread} of times in order, if they are regular: the spread is the median distance from the median interval, as a part of it. */
function regularity(times) {
  if (times.length < LEAST_STARTS) return undefined;
  const intervals = [];
  for (let at = 1; at < times.length; at++) intervals.push(times[at] - times[at - 1]);
  const interval = median([...intervals].sort(increasing));
  if (interval < LEAST_INTERVAL) return undefined;
  const spread = median(intervals.map((one) => Math.abs(one - interval)).sort(increasing)) / interval;
  return spread <= MOST_SPREAD ? { interval, spread } : undefined;
}

class Patterns {
  constructor(model) {
    this.model = model;
    this.listeners = [];
    this.intervals = [];
    const { connections, processes } = model;
    byId("interval-note").textContent = `The begins of at least ${LEAST_STARTS} connections of one program to one other side and port. The interval is the median `
      + `time between two begins. The spread is the median distance from it. Shown are intervals of at least ${LEAST_INTERVAL / 1e6} s with a spread of at most `
      + `${MOST_SPREAD * 100} %. Regular packets within one connection are not looked for.`;
    const table = (id, label, all, sort, columns) => new Grid(byId(id), { label, sort, open: (row) => this.choose(all()[row]),
      columns: columns.map((column) => ({ ...column, text: (row) => column.text(all()[row]), value: (row) => column.value(all()[row]),
        paint: column.paint && ((cell, row) => column.paint(cell, all()[row])) })) });
    const number = (key, title, width, rank, of, write = thousands) => ({ key, title, width, rank, right: true, text: (one) => write(of(one)), value: of });
    const program = { key: "program", title: "Program", width: 120, grow: 1, rank: 1, text: (one) => model.programName(one.program), value: (one) => model.rank(one.program) };
    const protocol = { key: "protocol", title: "Proto", width: 46, rank: 4, text: (one) => model.protocol(connections.protocol[one.row]), value: (one) => connections.protocol[one.row] };
    this.listenerGrid = table("listener-grid", "Listeners", () => this.listeners, { key: "first", down: false }, [
      { ...program, paint: (cell, one) => { cell.append(model.programName(one.program)); if (one.isNew) cell.append(element("span", { class: "badge" }, "new")); } },
      protocol,
      number("port", "Port", 60, 1, (one) => connections.local_port[one.row], String),
      { key: "address", title: "Local address", width: 140, grow: 1, rank: 6, text: (one) => model.text(connections.local_address[one.row]) + (one.addresses.size > 1 ? ` and ${one.addresses.size - 1} more` : ""), value: (one) => model.rank(connections.local_address[one.row]) },
      { key: "user", title: "User", width: 90, rank: 7, text: (one) => model.text(processes.user[one.process]), value: (one) => model.rank(processes.user[one.process]) },
      { key: "first", title: "First seen (UTC)", width: 148, rank: 5, text: (one) => timeText(one.first), value: (one) => one.first },
      number("count", "Connections", 90, 3, (one) => one.count), number("remotes", "Other sides", 90, 8, (one) => one.remotes.size), number("bytes", "Bytes", 96, 2, (one) => one.bytes)]);
    this.intervalGrid = table("interval-grid", "Regular intervals", () => this.intervals, { key: "spread", down: false }, [
      program, { key: "remote", title: "Other side", width: 150, grow: 1, rank: 1, text: (one) => model.remoteText(one.remote), value: (one) => model.rank(one.remote) },
      protocol, number("port", "Port", 60, 5, (one) => connections.remote_port[one.row], String),
      number("interval", "Interval", 100, 2, (one) => one.interval, spanText), number("spread", "Spread", 70, 3, (one) => one.spread, (part) => `${(100 * part).toFixed(1)} %`),
      number("count", "Connections", 90, 4, (one) => one.count), number("long", "For", 90, 6, (one) => one.last - one.first, spanText), number("bytes", "Bytes", 96, 7, (one) => one.bytes)]);
  }

  choose(one) {
    const { connections } = this.model;
    if ("interval" in one) this.model.select({ program: one.program, remote: one.remote, process: -1, connection: -1 });
    else this.model.select({ program: one.program, process: -1, words: `port:${connections.local_port[one.row]} direction:in` });
  }

  draw() {
    const { model } = this, { connections, processes } = model;
    const listeners = new Map(), groups = new Map();
    for (const row of model.selected()) {
      const [process, program] = [connections.process[row], model.program(row)];
      if (process !== NONE && connections.initiated[row] === 2 && connections.local_port[row]) {
        const key = `${connections.host[row]} ${program} ${connections.protocol[row]} ${connections.local_port[row]}`;
        let one = listeners.get(key);
        if (!one) listeners.set(key, one = { row, program, process, first: Infinity, count: 0, bytes: 0, remotes: new Set(), addresses: new Set(), isNew: false });
        one.first = Math.min(one.first, connections.open[row]);
        one.count++;
        one.bytes += model.bytes(row);
        one.remotes.add(connections.remote_address[row]);
        one.addresses.add(connections.local_address[row]);
        if (processes.is_new[process]) one.isNew = true;
      }
      if (connections.initiated[row] === 1 && model.remote(row)) {
        const key = `${connections.host[row]} ${program} ${model.remote(row)} ${connections.remote_port[row]} ${connections.protocol[row]}`;
        let one = groups.get(key);
        if (!one) groups.set(key, one = { row, program, remote: model.remote(row), times: [], bytes: 0 });
        one.times.push(connections.open[row]);
        one.bytes += model.bytes(row);
      }
    }
    this.listeners = [...listeners.values()];
    this.intervals = [...groups.values()].flatMap((one) => {
      const times = Float64Array.from(one.times.filter((time) => !Number.isNaN(time))).sort();
      const found = regularity(times);
      return found ? [{ ...one, ...found, count: times.length, first: times[0], last: times[times.length - 1] }] : [];
    });
    this.listenerGrid.show(Uint32Array.from(this.listeners.keys()));
    this.intervalGrid.show(Uint32Array.from(this.intervals.keys()));
  }
}

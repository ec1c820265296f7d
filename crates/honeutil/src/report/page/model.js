// What is recorded, what of it is selected, and the sums of that. Every view reads from here.

const DIRECTIONS = ["", "out", "in"];
const PROTOCOLS = { 1: "icmp", 6: "tcp", 17: "udp", 33: "dccp", 58: "icmpv6", 132: "sctp", 136: "udplite" };

class Model {
  constructor({ head, columns, text, rank, texts }) {
    Object.assign(this, { head, text, rank, texts });
    /** Columns of a table, without the table's name. */
    const table = (name) => {
      const own = Object.entries(columns).filter(([key]) => key.startsWith(`${name}.`));
      return Object.fromEntries(own.map(([key, column]) => [key.slice(name.length + 1), column]));
    };
    this.connections = table("connections");
    this.processes = table("processes");
    this.names = table("names");
    this.timeline = table("timeline");
    this.connections.count = this.connections.open.length;
    this.processes.count = this.processes.pid.length;
    this.names.count = this.names.time.length;
    this.nameRemotes();
    this.clear();
    this.listeners = [];
    this.linkProcesses();
  }

  /** Children of each process, and the processes that have none above them. */
  linkProcesses() {
    const { parent, count } = this.processes;
    this.children = new Map();
    this.roots = [];
    // A damaged recording may say that processes are each other's parents: a chain is followed only upwards, and cut where it closes.
    const state = new Uint8Array(count);
    this.above = Uint32Array.from(parent);
    for (let process = 0; process < count; process++) {
      const chain = [];
      let at = process;
      while (at < count && state[at] === 0) { state[at] = 1; chain.push(at); at = this.above[at]; }
      if (at < count && state[at] === 1) this.above[chain[chain.length - 1]] = NONE;
      for (const one of chain) state[one] = 2;
    }
    for (let process = 0; process < count; process++) {
      const above = this.above[process];
      if (above >= count) this.roots.push(process);
      else if (this.children.has(above)) this.children.get(above).push(process);
      else this.children.set(above, [process]);
    }
  }

  /**
   * The other side of each connection: its name, or its address. A connection without a name counts with the name that the others of
   * its host to this address have, if that is one name.
   */
  nameRemotes() {
    const { host, remote_address, remote_name } = this.connections;
    const names = new Map();
    const key = (row) => host[row] * 2 ** 32 + remote_address[row];
    remote_name.forEach((name, row) => {
      if (!name) return;
      const known = names.get(key(row)) ?? name;
      names.set(key(row), known === name ? name : 0);
    });
    this.remotes = remote_name.map((name, row) => name || names.get(key(row)) || remote_address[row]);
  }

  clear() {
    this.selection = { host: -1, program: -1, process: -1, remote: -1, connection: -1, from: NaN, to: NaN, words: "" };
    this.version = (this.version ?? 0) + 1;
  }

  /** Changes the selection; every view follows. */
  select(change) {
    Object.assign(this.selection, change);
    this.version++;
    for (const listener of this.listeners) listener();
  }

  isEmpty() {
    const { host, program, process, remote, connection, from, words } = this.selection;
    return host < 0 && program < 0 && process < 0 && remote < 0 && connection < 0 && Number.isNaN(from) && !words.trim();
  }

  protocol(number) { return PROTOCOLS[number] ?? (number === 255 ? "" : String(number)); }

  /** The program of a connection, as the number of a text; 0 without a process. */
  program(connection) {
    const process = this.connections.process[connection];
    return process === NONE ? 0 : this.processes.name[process];
  }

  processName(process) {
    return this.text(this.processes.name[process]) || `process ${this.processes.pid[process]}`;
  }

  programName(program) {
    if (program) return this.text(program);
    this.hasNameless ??= this.processes.name.some((name, process) => !name && this.processes.packets[process]);
    return this.hasNameless ? "no process or no name" : "no process";
  }

  /** The other side of a connection, as a text's number: its name, or its address. */
  remote(connection) { return this.remotes[connection]; }

  remoteText(remote) { return remote ? this.text(remote) : "not IP"; }

  bytes(connection) { return this.connections.bytes_in[connection] + this.connections.bytes_out[connection]; }

  packets(connection) { return this.connections.packets_in[connection] + this.connections.packets_out[connection]; }

  /** The connections that are selected. `but` names a part of the selection that does not count. */
  selected(but) {
    const key = `${this.version} ${but}`;
    if (this.cache?.has(key)) return this.cache.get(key);
    if (this.cacheVersion !== this.version) { this.cache = new Map(); this.cacheVersion = this.version; }
    const { connections } = this, all = this.selection;
    const selection = but ? { ...all, [but]: -1, ...(but === "time" ? { from: NaN, to: NaN } : {}) } : all;
    const match = this.wordsMatch(parseWords(selection.words));
    const found = new Uint32Array(connections.count);
    let count = 0;
    for (let row = 0; row < connections.count; row++) {
      if (selection.connection >= 0 && row !== selection.connection) continue;
      if (selection.host >= 0 && connections.host[row] !== selection.host) continue;
      if (selection.process >= 0 && connections.process[row] !== selection.process) continue;
      if (selection.program >= 0 && this.program(row) !== selection.program) continue;
      if (selection.remote >= 0 && this.remote(row) !== selection.remote) continue;
      if (connections.open[row] > selection.to || connections.close[row] < selection.from) continue;
      if (!match(row)) continue;
      found[count++] = row;
    }
    const rows = found.subarray(0, count);
    this.cache.set(key, rows);
    return rows;
  }

  /** Whether a connection has all these words. */
  wordsMatch(words) {
    const { connections, processes } = this;
    const tests = words.map(({ not, key, value }) => {
      const folded = key === "domain" ? domainOf(value) : value.toLowerCase();
      const memory = new Map();
      // Each text is compared once, however many rows name it.
      const has = (number) => {
        let known = memory.get(number);
        if (known === undefined) {
          const text = this.text(number);
          if (key === "domain") known = text === folded || text.endsWith(`.${folded}`);
          else known = key ? text === value : text.toLowerCase().includes(folded);
          memory.set(number, known);
        }
        return known;
      };
      const ofProcess = (column) => (row) => {
        const process = connections.process[row];
        return process !== NONE && column !== undefined && has(column[process]);
      };
      const wordOf = {
        name: ofProcess(processes.name), path: ofProcess(processes.path), user: ofProcess(processes.user),
        container: ofProcess(processes.container), unit: ofProcess(processes.unit),
        pid: (row) => connections.process[row] !== NONE && String(processes.pid[connections.process[row]]) === value,
        host: (row) => has(connections.remote_address[row]) || has(connections.local_address[row]),
        domain: (row) => ["remote_name", "local_name"].some((side) => connections[side][row] !== 0 && has(connections[side][row])),
        port: (row) => String(connections.remote_port[row]) === value || String(connections.local_port[row]) === value,
        proto: (row) => this.protocol(connections.protocol[row]) === folded,
        conn: (row) => this.connectionId(row) === value,
        direction: (row) => DIRECTIONS[connections.initiated[row]] === folded,
      };
      const any = (row) => wordOf.name(row) || wordOf.host(row) || wordOf.domain(row) || wordOf.user(row) || wordOf.unit(row)
        || wordOf.container(row) || wordOf.pid(row) || wordOf.port(row) || wordOf.proto(row) || has(connections.how[row]);
      const test = key ? wordOf[key] : any;
      return not ? (row) => !test(row) : test;
    });
    return (row) => tests.every((test) => test(row));
  }

  /** The id of a connection in the recording; empty if it has none. */
  connectionId(row) {
    const { id_low, id_high } = this.connections;
    if (id_low[row] === NONE && id_high[row] === NONE) return "";
    return ((BigInt(id_high[row]) << 32n) | BigInt(id_low[row])).toString();
  }

  /** Sums of connections: a map from `of(row)` to {key, bytes, bytesIn, bytesOut, packets, connections, first, last}. */
  sums(rows, of) {
    const { connections } = this, sums = new Map();
    for (const row of rows) {
      const key = of(row);
      let sum = sums.get(key);
      if (!sum) sums.set(key, sum = { key, bytes: 0, bytesIn: 0, bytesOut: 0, packets: 0, connections: 0, first: Infinity, last: -Infinity, row });
      sum.bytesIn += connections.bytes_in[row];
      sum.bytesOut += connections.bytes_out[row];
      sum.bytes = sum.bytesIn + sum.bytesOut;
      sum.packets += this.packets(row);
      sum.connections++;
      sum.first = Math.min(sum.first, connections.open[row]);
      sum.last = Math.max(sum.last, connections.close[row]);
    }
    return [...sums.values()].sort((a, b) => b.bytes - a.bytes);
  }
}

/** A name as the data has it. */
const domainOf = (value) => value.toLowerCase().replace(/\.$/, "");

const WORD_KEYS = ["name", "path", "user", "container", "unit", "pid", "host", "domain", "port", "proto", "conn", "direction"];

/** The words of the search field: `curl`, `port:443`, `-name:"a b"`. */
function parseWords(text) {
  const words = [];
  for (const [, not, key, quoted, plain] of text.matchAll(/(-?)(?:([a-z]+):)?(?:"([^"]*)"?|([^\s"]+))/g)) {
    const known = WORD_KEYS.includes(key);
    const value = (quoted ?? plain ?? "");
    if (!value) continue;
    words.push({ not: not === "-", key: known ? key : undefined, value: key && !known ? `${key}:${value}` : value });
  }
  return words;
}

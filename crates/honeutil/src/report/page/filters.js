// The selection as the words of `honeutil show` and as a display filter of Wireshark with Hone's fields.

/** A value as one word of a POSIX shell. */
const quoted = (value) => (/^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replace(/'/g, "'\\''")}'`);

/** A value as a text of Wireshark. */
const wiresharkText = (value) => `"${value.replace(/\\/g, "\\\\").replace(/"/g, "\\\"")}"`;

const isAddress = (value) => /^[0-9a-f.:]+$/i.test(value) && /[.:]/.test(value);

const wiresharkHost = (address) => `${address.includes(":") ? "ipv6" : "ip"}.addr == ${address}`;

/** The filters while they are put together. */
class Filters {
  constructor() { Object.assign(this, { words: [], flags: [], expressions: [], wireshark: [], notes: new Set() }); }

  /** One condition: any of the values of a word. */
  add(word, values) {
    const isOpposite = word.startsWith("--not-");
    if (!isOpposite && this.words.some(([other]) => other === word)) {
      if (word === "--host" || word === "--domain") {
        this.expressions.push(values.map((value) => `${word.slice(2)} ${value}`).join(" or "));
        return;
      }
      this.notes.add(`The command shows what matches any of its ${word}; this page, what matches all.`);
    }
    for (const value of values) this.words.push([word, value]);
  }

  /** The words of the command line. */
  arguments() {
    const all = [...this.words];
    const joined = this.expressions.length > 1 ? this.expressions.map((one) => `(${one})`) : this.expressions;
    if (joined.length) all.push(["--filter", joined.join(" and ")]);
    return all.map(([word, value]) => ` ${word} ${quoted(value)}`).join("") + this.flags.map((flag) => ` ${flag}`).join("");
  }
}

/** {show, wireshark, notes}: commands that show what is selected, and what they cannot say. */
function filtersOf(model) {
  const { selection, connections, processes, head } = model;
  const filters = new Filters();
  let { from, to } = selection;
  if (selection.program === 0) {
    filters.notes.add("No word selects packets without a process, or of a process without a name.");
  } else if (selection.program > 0) {
    const name = model.text(selection.program);
    if (name.includes("\ufffd")) filters.notes.add("The name has bytes that are no text. Select a process by its id instead.");
    filters.add("--name", [name]);
    filters.wireshark.push(`hone.name == ${wiresharkText(name)}`);
  }
  if (selection.process >= 0) {
    const pid = processes.pid[selection.process];
    filters.add("--pid", [String(pid)]);
    filters.wireshark.push(`hone.pid == ${pid}`);
    // The number may be used again: the times of the process make it certain.
    const [start, end] = [processes.start[selection.process], processes.end[selection.process]];
    if (model.reused(pid) && !Number.isNaN(start)) {
      from = Number.isNaN(from) ? start : Math.max(from, start);
      if (!Number.isNaN(end)) to = Number.isNaN(to) ? end : Math.min(to, end);
    }
  }
  if (selection.connection >= 0) addConnection(model, selection.connection, filters);
  else if (selection.remote >= 0) addRemote(model, filters);
  for (const word of parseWords(selection.words)) {
    if (!addWord(word, filters)) filters.notes.add("Words without a colon, direction:, and values that the command does not take, are searched only on this page.");
  }
  if (!Number.isNaN(from)) {
    filters.add("--from", [timeOption(from)]);
    filters.wireshark.push(`frame.time_epoch >= ${(from / 1e6).toFixed(6)}`);
  }
  if (!Number.isNaN(to)) {
    // --to leaves out its own time.
    filters.add("--to", [timeOption(to + 1)]);
    filters.wireshark.push(`frame.time_epoch < ${((to + 1) / 1e6).toFixed(6)}`);
  }
  const host = selection.process >= 0 ? processes.host[selection.process]
    : selection.connection >= 0 ? connections.host[selection.connection] : selection.host;
  const names = head.files.filter((file, at) => host < 0 || head.hosts[host].files.includes(at)).map((file) => file.name);
  const files = names.map((name) => (name === "standard input" ? "-" : quoted(name))).join(" ");
  // The report itself may be of a selection.
  for (const [word, value] of head.words) {
    if (!value) filters.flags.push(word);
    else if (word === "--filter") filters.expressions.push(value);
    else if (word === "--from" || word === "--to") { if (!filters.words.some(([other]) => other === word)) filters.words.push([word, value]); }
    else filters.add(word, [value]);
  }
  if (head.words.length) filters.notes.add("This report was made with a selection. The filter of Wireshark does not have it.");
  return {
    show: `honeutil show${filters.arguments()} ${files.length > 300 ? "FILE..." : files}`,
    wireshark: filters.wireshark.map((part) => (part.includes(" || ") ? `(${part})` : part)).join(" && "),
    notes: [...filters.notes],
  };
}

function addConnection(model, row, filters) {
  const id = model.connectionId(row);
  if (id) {
    filters.add("--conn", [id]);
    filters.wireshark.push(`hone.conn == ${id}`);
    return;
  }
  const { connections } = model;
  const protocol = model.protocol(connections.protocol[row]);
  const parts = [];
  if (["tcp", "udp", "sctp", "icmp"].includes(protocol)) { parts.push(protocol); filters.wireshark.push(protocol); }
  for (const side of ["local", "remote"]) {
    const address = model.text(connections[`${side}_address`][row]);
    if (!address) continue;
    parts.push(`host ${address}`);
    filters.wireshark.push(wiresharkHost(address));
    const port = connections[`${side}_port`][row];
    if (port && ["tcp", "udp", "sctp"].includes(protocol)) {
      parts.push(`port ${port}`);
      filters.wireshark.push(`${protocol}.port == ${port}`);
    }
  }
  if (parts.length) filters.expressions.push(parts.join(" and "));
}

/** A remote with a name stands for the addresses that it had. */
function addRemote(model, filters) {
  const addresses = new Set();
  for (const row of model.selected()) addresses.add(model.text(model.connections.remote_address[row]));
  addresses.delete("");
  if (!addresses.size) return;
  if (addresses.size > 16) filters.notes.add(`The name had ${addresses.size} addresses; 16 of them are in the filters.`);
  const { remote_address } = model.connections;
  if (remote_address.some((address, row) => model.remote(row) !== model.selection.remote && addresses.has(model.text(address)))) {
    filters.notes.add("The commands also show connections to these addresses that have another name, or none.");
  }
  const some = [...addresses].slice(0, 16);
  filters.add("--host", some);
  filters.wireshark.push(some.map(wiresharkHost).join(" || "));
}

/** Adds a name of the search field; whether that was possible. */
function addDomain(name, not, filters) {
  if (!/^[\w\\-]+(\.[\w\\-]+)*$/.test(name)) return false;
  filters.add(not ? "--not-domain" : "--domain", [name]);
  filters.notes.add(`The command also ${not ? "leaves out" : "shows"} the DNS messages about ${name}. The filter of Wireshark does not have the name.`);
  return true;
}

/** Adds a word of the search field; whether that was possible. */
function addWord({ not, key, value }, filters) {
  if (key === "domain") return addDomain(domainOf(value), not, filters);
  const protocol = value.toLowerCase();
  const fields = {
    name: `hone.name == ${wiresharkText(value)}`, path: `hone.path == ${wiresharkText(value)}`,
    user: `hone.user == ${wiresharkText(value)}`, container: `hone.container == ${wiresharkText(value)}`,
    unit: `hone.unit == ${wiresharkText(value)}`, pid: `hone.pid == ${value}`, conn: `hone.conn == ${value}`,
    port: `tcp.port == ${value} || udp.port == ${value}`, host: wiresharkHost(value), proto: protocol,
  };
  const isNumber = /^\d+$/.test(value);
  if (!(key in fields) || (key === "host" && !isAddress(value)) || (["pid", "conn", "port"].includes(key) && !isNumber)) return false;
  if (key === "proto") {
    if (!["tcp", "udp", "sctp", "icmp", "icmpv6"].includes(protocol)) return false;
    filters.expressions.push(`${not ? "not " : ""}${protocol === "icmpv6" ? "icmp6" : protocol}`);
  } else filters.add(`--${not ? "not-" : ""}${key}`, [value]);
  filters.wireshark.push(not ? `!(${fields[key]})` : fields[key]);
  return true;
}

/** Whether several processes had this id. */
Model.prototype.reused = function reused(pid) {
  if (!this.pidCounts) {
    this.pidCounts = new Map();
    for (const one of this.processes.pid) this.pidCounts.set(one, (this.pidCounts.get(one) ?? 0) + 1);
  }
  return this.pidCounts.get(pid) > 1;
};

// The side: what is selected, and its details.

/** The panel that says what is selected, how to see the same elsewhere, and the details. */
class Side {
  constructor(model) {
    this.model = model;
    byId("clear").addEventListener("click", () => clearSelection(model));
    byId("copy-show").addEventListener("click", (event) => copyText(byId("filter-show").textContent, event.target));
    byId("copy-wireshark").addEventListener("click", (event) => copyText(this.filter, event.target));
  }

  draw() {
    const { model } = this, { selection } = model;
    const chips = [];
    const chip = (label, change) => chips.push(element("button", { type: "button", title: "Take this out of the selection", onclick: () => model.select(change) }, `${label} ✕`));
    if (selection.host >= 0 && model.head.hosts.length > 1) chip(`host ${model.head.hosts[selection.host].name}`, { host: -1 });
    if (selection.program >= 0) chip(`program ${model.programName(selection.program)}`, { program: -1 });
    if (selection.process >= 0) chip(`process ${model.processName(selection.process)} ${model.processes.pid[selection.process]}`, { process: -1 });
    if (selection.remote >= 0) chip(`other side ${model.remoteText(selection.remote)}`, { remote: -1 });
    if (selection.connection >= 0) chip(`connection ${model.connectionId(selection.connection)}`, { connection: -1 });
    if (!Number.isNaN(selection.from)) chip(`${timeText(selection.from)} to ${timeText(selection.to)}`, { from: NaN, to: NaN });
    if (selection.words.trim()) chip(`search ${selection.words}`, { words: "" });
    byId("chips").replaceChildren(...(chips.length ? chips : [element("span", { class: "muted" }, "Everything is shown. Choose a program, a process, an address or a time.")]));
    byId("clear").disabled = !chips.length;
    let [packets, sent, received] = [0, 0, 0];
    const rows = model.selected();
    for (const row of rows) { packets += model.packets(row); sent += model.connections.bytes_out[row]; received += model.connections.bytes_in[row]; }
    byId("totals").replaceChildren(element("div", {}, `${counted(rows.length, "connection")}, ${counted(packets, "packet")}`),
      element("div", { class: "muted" }, `${thousands(sent)} bytes sent, ${thousands(received)} received`));
    const { show, wireshark, notes } = filtersOf(model);
    this.filter = wireshark;
    byId("filter-show").textContent = show;
    byId("filter-wireshark").textContent = wireshark || "(no filter: everything)";
    byId("filter-notes").replaceChildren(...notes.map((note) => element("li", {}, note)));
    byId("live").textContent = chips.length ? `${counted(rows.length, "connection")} selected` : "";
    this.details();
  }

  details() {
    const { model } = this, { connection } = model.selection;
    const process = model.selection.process >= 0 ? model.selection.process : connection >= 0 ? model.connections.process[connection] : NONE;
    const parts = [];
    if (connection >= 0) parts.push(element("h3", {}, "Connection"), this.list(this.ofConnection(connection)));
    if (process !== NONE) parts.push(element("h3", {}, "Process"), this.list(this.ofProcess(process)));
    byId("details").replaceChildren(...parts);
  }

  list(pairs) {
    const shown = pairs.filter(([, value]) => value !== "" && value !== undefined);
    return element("dl", {}, ...shown.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
  }

  ofConnection(row) {
    const { model } = this, { connections } = model;
    const side = (name) => endText(model.text(connections[`${name}_address`][row]), connections[`${name}_port`][row]);
    return [["Id", model.connectionId(row) || "none"], ["Protocol", model.protocol(connections.protocol[row])], ["Local", side("local")], ["Remote", side("remote")],
      ["Name", model.text(connections.remote_name[row])], ["Local name", model.text(connections.local_name[row])], ["Began", ["not known", "this host", "the other side"][connections.initiated[row]]],
      ["Begin", timeText(connections.open[row], true)], ["End", timeText(connections.close[row], true)], ["State", model.text(connections.state[row])],
      ["Sent", `${counted(connections.packets_out[row], "packet")}, ${thousands(connections.bytes_out[row])} B`],
      ["Received", `${counted(connections.packets_in[row], "packet")}, ${thousands(connections.bytes_in[row])} B`],
      ["Without a process", connections.packets_unowned[row] ? counted(connections.packets_unowned[row], "packet") : ""], ["Process known by", model.text(connections.how[row])]];
  }

  ofProcess(row) {
    const { model } = this, { processes } = model;
    const above = [];
    for (let at = model.above[row]; at < processes.count && above.length < 20; at = model.above[at]) above.push(at);
    const chain = element("span", {}, ...above.flatMap((one, at) => [at ? " ← " : "", element("button", { type: "button", onclick: () => model.select({ process: one, program: -1, connection: -1 }) },
      `${model.processName(one)} ${processes.pid[one]}`)]));
    return [["Name", model.text(processes.name[row])], ["Path", model.text(processes.path[row])], ["SHA-256", model.text(processes.sha256[row])], ["Arguments", model.text(processes.args[row])], ["Process id", String(processes.pid[row])],
      ["Started by", above.length ? chain : ""], ["User", model.text(processes.user[row])], ["Group", model.text(processes.group[row])], ["Unit", model.text(processes.unit[row])],
      ["Container", model.text(processes.container[row])], ["Started", timeText(processes.start[row], true) + (processes.is_new[row] ? "" : " or before")], ["Ended", timeText(processes.end[row], true)],
      ["Packets", thousands(processes.packets[row])], ["Bytes", thousands(processes.bytes[row])]];
  }
}

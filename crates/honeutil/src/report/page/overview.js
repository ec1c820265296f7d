// The overview: everything of importance on one screen.

const TOP_ROWS = 9;

/** A plain table of few rows: titles, and rows of cells. `right` has the places of columns of numbers. */
function plainTable(titles, rows, right = []) {
  const cell = (name, content, at) => element(name, { class: right.includes(at) ? "right" : undefined }, content);
  return element("div", { class: "scroll" }, element("table", {}, element("thead", {}, element("tr", {}, ...titles.map((title, at) => cell("th", title, at)))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((content, at) => cell("td", content, at)))))));
}

class Overview {
  constructor(model) {
    this.model = model;
    this.timeline = new Timeline(byId("timeline"), model);
    this.fixed();
  }

  hosts() {
    const { host } = this.model.selection;
    return host < 0 ? this.model.head.hosts : [this.model.head.hosts[host]];
  }

  /** What no selection changes: the recordings, and what was left out. */
  fixed() {
    const { head } = this.model;
    byId("files").replaceChildren(...head.files.map((file) => element("div", { class: "file" },
      element("div", {}, file.name, element("span", { class: "muted" }, file.bytes === null ? "" : ` ${bytesText(file.bytes)}`)),
      element("div", { class: "hash" }, file.sha256 ? `SHA-256 ${file.sha256}` : `SHA-256: ${file.no_hash}`))));
    const notes = head.files.filter((file) => file.failed).map((file) => `${file.name} could not be read to its end: ${file.failed}`);
    byId("limits").hidden = !notes.concat(head.notes).length;
    byId("limits").classList.add("warn");
    byId("limits").textContent = notes.concat(head.notes).join(" ");
  }

  draw() {
    this.tiles();
    this.reasons();
    const { model } = this, { head } = model;
    const programs = model.sums(model.selected("program"), (row) => model.program(row));
    this.bars(byId("top-programs"), programs, (sum) => model.programName(sum.key), "program", { process: -1 });
    const remotes = model.sums(model.selected("remote"), (row) => model.remote(row));
    this.bars(byId("top-remotes"), remotes, (sum) => model.remoteText(sum.key), "remote", { connection: -1 });
    byId("hosts").replaceChildren(plainTable(["Host", "System", "Recorded by", "First packet", "Last packet", "Packets", "Bytes", "Dropped", "Without a process"],
      this.hosts().map((host) => [host.name, host.os, host.application, timeText(host.first ?? NaN), timeText(host.last ?? NaN), thousands(host.packets),
        thousands(host.bytes), host.dropped === null ? "not known" : thousands(host.dropped), percent(host.unowned, host.packets)]), [5, 6, 7, 8]));
    if (head.hosts.length > 1) {
      [...byId("hosts").querySelectorAll("tbody td:first-child")].forEach((cell, at) => {
        const host = head.hosts.indexOf(this.hosts()[at]);
        const name = cell.textContent;
        cell.replaceChildren(element("button", { type: "button", onclick: () => model.select({ host: model.selection.host === host ? -1 : host }) }, name));
      });
    }
    this.timeline.draw();
  }

  tiles() {
    const hosts = this.hosts();
    const sum = (key) => hosts.reduce((total, host) => total + (host[key] ?? 0), 0);
    const least = (key) => Math.min(...hosts.map((host) => host[key] ?? Infinity));
    const most = (key) => Math.max(...hosts.map((host) => host[key] ?? -Infinity));
    const [first, last] = [least("first"), most("last")];
    const known = (time) => (Number.isFinite(time) ? time : NaN);
    const dropped = hosts.some((host) => host.dropped !== null) ? thousands(sum("dropped")) : "not known";
    const tile = (title, value, more, isWarning) => element("div", { class: "tile" }, element("div", { class: "muted" }, title),
      element("div", { class: `value cut-text${isWarning ? " warn" : ""}`, title: value }, value), element("div", { class: "muted cut-text more", title: more }, more));
    byId("tiles").replaceChildren(
      tile(hosts.length > 1 ? "Hosts" : "Host", hosts.length > 1 ? thousands(hosts.length) : hosts[0]?.name ?? "none", hosts.length > 1 ? "choose one above" : hosts[0]?.os ?? ""),
      tile("Begin (UTC)", timeText(known(first)).slice(11) || "not known", timeText(known(first)).slice(0, 10)),
      tile("End (UTC)", timeText(known(last)).slice(11) || "not known", timeText(known(last)).slice(0, 10) === timeText(known(first)).slice(0, 10) ? `${spanText(known(last - first))} later` : timeText(known(last)).slice(0, 10)),
      tile("Packets", thousands(sum("packets")), counted(this.model.connections.count, "connection")),
      tile("Bytes", bytesText(sum("bytes")), `${thousands(sum("bytes"))} B`),
      tile("Dropped", dropped, "lost packets", sum("dropped") > 0),
      tile("No process", percent(sum("unowned"), sum("packets")), counted(sum("unowned"), "packet")));
  }

  reasons() {
    const sums = new Map();
    for (const host of this.hosts()) for (const [reason, count] of Object.entries(host.reasons)) sums.set(reason, (sums.get(reason) ?? 0) + count);
    const rows = [...sums].sort((a, b) => b[1] - a[1]);
    const all = rows.reduce((total, [, count]) => total + count, 0);
    byId("reasons").replaceChildren(rows.length ? plainTable(["Reason", "Packets", ""], rows.map(([reason, count]) => [reason, thousands(count), percent(count, all)]), [1, 2])
      : element("p", { class: "note" }, "Every packet has a process."));
  }

  bars(root, sums, name, part, also) {
    const most = Math.max(1, ...sums.map((sum) => sum.bytes));
    const focused = root.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
    const shown = sums.slice(0, TOP_ROWS);
    root.replaceChildren(...shown.map((sum) => {
      const fill = element("span", { class: "fill", "aria-hidden": "true" });
      fill.style.width = `${(100 * sum.bytes) / most}%`;
      const isOn = this.model.selection[part] === sum.key;
      return element("button", { type: "button", "data-key": sum.key, "aria-pressed": String(isOn), title: `${name(sum)}: ${thousands(sum.bytes)} B, ${counted(sum.connections, "connection")}`,
        onclick: () => this.model.select({ [part]: isOn ? -1 : sum.key, ...also }) }, fill, element("span", { class: "cut-text" }, name(sum)), element("span", { class: "muted" }, bytesText(sum.bytes)));
    }));
    if (sums.length > shown.length) root.append(element("p", { class: "note" }, `and ${thousands(sums.length - shown.length)} more`));
    if (!sums.length) root.append(element("p", { class: "note" }, "Nothing matches the selection."));
    if (focused !== undefined) root.querySelector(`[data-key="${focused}"]`)?.focus();
  }
}

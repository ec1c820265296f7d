// Who talked to whom: programs on the left, the other sides on the right, as wide as their bytes.

const MOST_LEFT = 12;
const MOST_RIGHT = 18;
const GAP = 6;
const LEAST = 12;

/** The largest of the sums; the others together. */
function largest(sums, most) {
  if (sums.length <= most) return sums;
  const rest = sums.slice(most - 1);
  const bytes = rest.reduce((total, sum) => total + sum.bytes, 0);
  return [...sums.slice(0, most - 1), { key: -1, bytes, count: rest.length }];
}

class Flows {
  constructor(root, model) {
    Object.assign(this, { root, model });
    new ResizeObserver(() => this.draw()).observe(root);
  }

  draw() {
    const { model, root } = this;
    const width = root.clientWidth;
    if (!width) return;
    const rows = model.selected();
    const left = largest(model.sums(rows, (row) => model.program(row)), MOST_LEFT);
    const right = largest(model.sums(rows, (row) => model.remote(row)), MOST_RIGHT);
    const total = left.reduce((sum, one) => sum + one.bytes, 0);
    if (!total) {
      root.replaceChildren(element("p", { class: "empty" }, "Nothing matches the selection."));
      return;
    }
    const height = Math.max(left.length, right.length) * 30 + 40;
    const scale = (height - GAP * Math.max(left.length, right.length) - LEAST * Math.max(left.length, right.length)) / total;
    const place = (all) => {
      const used = all.reduce((sum, one) => sum + LEAST + one.bytes * scale + GAP, -GAP);
      let y = Math.max(0, (height - used) / 2);
      for (const one of all) { one.y = y; one.height = LEAST + one.bytes * scale; one.used = 0; y += one.height + GAP; }
      return new Map(all.map((one) => [one.key, one]));
    };
    const [lefts, rights] = [place(left), place(right)];
    const label = Math.min(260, width * 0.32);
    const [x1, x2] = [label, width - label];
    const links = new Map();
    for (const row of rows) {
      const from = lefts.has(model.program(row)) ? model.program(row) : -1;
      const to = rights.has(model.remote(row)) ? model.remote(row) : -1;
      const key = `${from} ${to}`;
      const link = links.get(key) ?? { from, to, bytes: 0 };
      link.bytes += model.bytes(row);
      links.set(key, link);
    }
    const svg = drawing("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group",
      "aria-label": "Programs and whom they talked to" });
    const order = [...links.values()].sort((a, b) => lefts.get(a.from).y - lefts.get(b.from).y || rights.get(a.to).y - rights.get(b.to).y);
    for (const link of order) {
      const [a, b] = [lefts.get(link.from), rights.get(link.to)];
      const of = (node) => Math.max(0.75, node.bytes ? (link.bytes / node.bytes) * node.height : 0);
      const [ya, yb, ha, hb] = [a.y + a.used, b.y + b.used, of(a), of(b)];
      a.used += ha; b.used += hb;
      const middle = (x1 + x2) / 2;
      const path = `M${x1 + 6},${ya} C${middle},${ya} ${middle},${yb} ${x2 - 6},${yb} L${x2 - 6},${yb + hb} C${middle},${yb + hb} ${middle},${ya + ha} ${x1 + 6},${ya + ha} Z`;
      svg.append(drawing("path", { d: path, class: "link" }, drawing("title", {},
        `${this.leftName(a)} and ${this.rightName(b)}: ${bytesText(link.bytes)}`)));
    }
    for (const one of left) svg.append(this.node(one, x1, -1, label, this.leftName(one), { program: one.key, process: -1 }, "program"));
    for (const one of right) svg.append(this.node(one, x2, 1, label, this.rightName(one), { remote: one.key, connection: -1 }, "remote"));
    const focused = root.contains(document.activeElement) ? document.activeElement.getAttribute("data-node") : null;
    root.replaceChildren(svg);
    if (focused) [...svg.querySelectorAll("[data-node]")].find((one) => one.getAttribute("data-node") === focused)?.focus();
  }

  leftName(one) { return one.key < 0 ? counted(one.count, "other program") : this.model.programName(one.key); }

  rightName(one) { return one.key < 0 ? `${thousands(one.count)} others` : this.model.remoteText(one.key); }

  node(one, x, side, room, name, change, part) {
    const isChosen = one.key >= 0 && this.model.selection[part] === one.key;
    const most = Math.max(6, Math.floor((room - 76) / 6.6));
    const shown = name.length > most ? `${name.slice(0, most - 1)}…` : name;
    const text = drawing("text", { x: x + side * 10, y: one.y + one.height / 2, "text-anchor": side < 0 ? "end" : "start", class: "node-text" },
      drawing("tspan", {}, shown), drawing("tspan", { class: "node-bytes", dx: 6 }, bytesText(one.bytes)));
    const box = drawing("rect", { x: side < 0 ? x : x - 6, y: one.y, width: 6, height: one.height, class: "node-box" });
    const group = drawing("g", { class: isChosen ? "node chosen" : "node", "data-node": `${part} ${one.key}` },
      drawing("title", {}, `${name}: ${bytesText(one.bytes)}`), box, text);
    if (one.key < 0) return group;
    const choose = () => this.model.select(isChosen ? { [part]: -1 } : change);
    for (const [key, value] of Object.entries({ tabindex: 0, role: "button", "aria-pressed": String(isChosen) })) group.setAttribute(key, value);
    group.addEventListener("click", choose);
    group.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      choose();
    });
    return group;
  }
}

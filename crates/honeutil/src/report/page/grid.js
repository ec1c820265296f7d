// A table of any length: only the rows in sight are elements. Columns that do not fit are left out, the least important first.

const ROW = 26;
const PRINTED_ROWS = 50;
const GAP_BETWEEN = 10;

class Grid {
  /**
   * `columns`: {key, title, width (pixels), grow, right, rank (1 stays longest), text(row), value(row) to sort by, paint(cell, row)}.
   * `open(row)` is called when a row is chosen. `sorted(key, down)`, if given, sorts instead of this table.
   */
  constructor(root, { label, columns, open, sort, sorted, empty, key, isChosen }) {
    Object.assign(this, { root, columns, open, sorted, key, isChosen, rows: [], order: [], at: -1, sort });
    root.classList.add("grid");
    root.setAttribute("role", "grid");
    root.setAttribute("aria-label", label);
    this.header = element("div", { class: "grid-head", role: "row" });
    this.body = element("div", { class: "grid-body", tabindex: 0, "aria-label": label });
    this.space = element("div", { class: "grid-space" });
    this.empty = element("p", { class: "empty" }, empty ?? "Nothing matches the selection.");
    this.body.append(this.space);
    root.replaceChildren(this.header, this.body, this.empty);
    this.body.addEventListener("scroll", () => this.later());
    this.body.addEventListener("keydown", (event) => this.pressed(event));
    this.body.addEventListener("click", (event) => {
      const row = event.target.closest(".grid-row");
      if (!row) return;
      this.at = Number(row.dataset.place);
      if (!event.target.closest("button")) this.choose();
    });
    new ResizeObserver(() => this.later()).observe(root);
  }

  /** Shows these rows (numbers of the caller's). */
  show(rows) {
    if (rows.length !== this.rows.length) this.body.scrollTop = 0;
    this.rows = rows;
    this.root.classList.toggle("is-empty", rows.length === 0);
    this.root.setAttribute("aria-rowcount", rows.length + 1);
    this.order = this.sorted ? rows : this.ordered();
    this.at = Math.min(this.at, rows.length - 1);
    this.stale = true;
    this.later();
  }

  ordered() {
    const column = this.columns.find((column) => column.key === this.sort?.key);
    if (!column?.value) return this.rows;
    const rows = Array.from(this.rows);
    const values = Float64Array.from(rows, (row) => column.value(row));
    const sign = this.sort.down ? -1 : 1;
    const order = Uint32Array.from(rows.keys());
    // What has no value (NaN) comes last, whatever the order is.
    order.sort((a, b) => {
      const [x, y] = [values[a], values[b]];
      if (x === y) return a - b;
      if (x !== x) return y !== y ? a - b : 1;
      if (y !== y) return -1;
      return sign * (x - y);
    });
    return Array.from(order, (at) => rows[at]);
  }

  sortBy(column) {
    if (!column.value) return;
    const down = this.sort?.key === column.key ? !this.sort.down : Boolean(column.right);
    this.sort = { key: column.key, down };
    if (this.sorted) this.sorted(column, down);
    else this.show(this.rows);
    this.body.scrollTop = 0;
  }

  pressed(event) {
    const page = Math.max(1, Math.floor(this.body.clientHeight / ROW) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key in steps) this.move(steps[event.key]);
    else if (event.key === "Enter" || event.key === " ") this.choose();
    else if (this.key?.(event.key, this.order[this.at])) this.later();
    else return;
    event.preventDefault();
  }

  move(step) {
    if (!this.order.length) return;
    this.at = Math.max(0, Math.min(this.order.length - 1, this.at + step));
    const [top, height] = [this.at * ROW, this.body.clientHeight];
    if (top < this.body.scrollTop) this.body.scrollTop = top;
    else if (top + ROW > this.body.scrollTop + height) this.body.scrollTop = top + ROW - height;
    this.later();
  }

  choose() {
    if (this.at >= 0 && this.open) this.open(this.order[this.at]);
    this.later();
  }

  later() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.draw(); });
  }

  /** Chooses the columns that fit, and writes the titles. */
  drawHeader(printed) {
    const room = (printed ? 1000 : this.root.clientWidth) - 16 + GAP_BETWEEN;
    const shown = this.columns.filter((column) => !column.hidden?.());
    for (let sum = (all) => all.reduce((total, column) => total + column.width + GAP_BETWEEN, 0); shown.length > 2 && sum(shown) > room;) {
      const last = shown.reduce((a, b) => ((b.rank ?? 1) >= (a.rank ?? 1) ? b : a));
      shown.splice(shown.indexOf(last), 1);
    }
    const names = shown.map((column) => column.key).join();
    const sort = `${this.sort?.key} ${this.sort?.down}`;
    if (names === this.names && sort === this.drawnSort) return;
    Object.assign(this, { shown, names, drawnSort: sort, stale: true });
    this.template = shown.map((column) => (column.grow ? `minmax(${column.width}px, ${column.grow}fr)` : `${column.width}px`)).join(" ");
    const focused = this.header.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
    this.header.style.gridTemplateColumns = this.template;
    this.header.replaceChildren(...shown.map((column) => {
      const isSorted = this.sort?.key === column.key;
      const order = isSorted ? (this.sort.down ? "descending" : "ascending") : "none";
      const title = element("button", { type: "button", "data-key": column.key, onclick: () => this.sortBy(column) }, column.title);
      if (!column.value) title.disabled = true;
      if (isSorted) title.append(element("span", { "aria-hidden": "true" }, this.sort.down ? " ↓" : " ↑"));
      return element("div", { role: "columnheader", "aria-sort": order, class: column.right ? "right" : "" }, title);
    }));
    this.header.querySelector(`[data-key="${focused}"]`)?.focus();
  }

  draw(printed = false) {
    if (!printed && !this.root.clientWidth) return;
    this.drawHeader(printed);
    const first = printed ? 0 : Math.max(0, Math.floor(this.body.scrollTop / ROW) - 6);
    const most = printed ? PRINTED_ROWS : Math.ceil(this.body.clientHeight / ROW) + 12;
    const last = Math.min(this.order.length, first + most);
    this.space.style.height = `${(printed ? last : this.order.length) * ROW}px`;
    const drawn = document.createDocumentFragment();
    for (let place = first; place < last; place++) drawn.append(this.drawRow(place, this.order[place]));
    this.space.replaceChildren(drawn);
    if (printed && last < this.order.length) {
      this.space.append(element("p", { class: "cut" }, `and ${thousands(this.order.length - last)} more rows`));
    }
  }

  drawRow(place, row) {
    const line = element("div", { class: "grid-row", role: "row", "data-place": place, "aria-rowindex": place + 2 });
    line.style.gridTemplateColumns = this.template;
    line.style.transform = `translateY(${place * ROW}px)`;
    if (place === this.at) line.classList.add("at");
    if (this.isChosen?.(row)) { line.classList.add("chosen"); line.setAttribute("aria-selected", "true"); }
    for (const column of this.shown) {
      const cell = element("div", { role: "gridcell", class: column.right ? "right" : "" });
      if (column.paint) column.paint(cell, row);
      else {
        const text = column.text(row);
        cell.textContent = text;
        if (text.length > 12) cell.title = text;
      }
      line.append(cell);
    }
    return line;
  }
}

// Reads the data, makes the views, and handles keys.

const VIEWS = [["overview", "Overview"], ["flows", "Who talked to whom"], ["processes", "Processes"], ["connections", "Connections"],
  ["names", "Names"], ["patterns", "Patterns"], ["indicators", "Indicators"]];

function clearSelection(model) {
  const nothing = { program: -1, process: -1, remote: -1, connection: -1, from: NaN, to: NaN, words: "", host: -1 };
  model.select(nothing);
}

function setTheme(isDark) {
  document.documentElement.dataset.theme = isDark ? "dark" : "light";
  byId("theme").textContent = isDark ? "Light" : "Dark";
}

async function start() {
  const model = new Model(await readData(byId("data")));
  model.hasNames = model.connections.remote_name.some((name) => name !== 0);
  if (model.head.hosts.length === 1) document.title = `Hone report: ${model.head.hosts[0].name}`;
  const flows = new Flows(byId("flows"), model);
  const views = { overview: new Overview(model), flows, processes: new Processes(model), connections: new Connections(model), names: new Names(model),
    patterns: new Patterns(model), indicators: new Indicators(model) };
  const side = new Side(model);
  const drawn = new Map();
  let current = "overview";
  const draw = (name) => {
    if (drawn.get(name) !== model.version) { drawn.set(name, model.version); views[name].draw(); }
  };
  const open = (name) => {
    current = name;
    for (const [one] of VIEWS) {
      byId(`view-${one}`).hidden = one !== name;
      byId(`tab-${one}`).setAttribute("aria-selected", String(one === name));
      byId(`tab-${one}`).tabIndex = one === name ? 0 : -1;
    }
    draw(name);
  };
  byId("tabs").append(...VIEWS.map(([name, title], at) => element("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `view-${name}`, title: `Key ${at + 1}`,
    onclick: () => open(name) }, title)));
  byId("tabs").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = VIEWS.findIndex(([name]) => name === current);
    open(VIEWS[(at + step + VIEWS.length) % VIEWS.length][0]);
    byId(`tab-${current}`).focus();
  });

  const host = byId("host");
  host.hidden = model.head.hosts.length < 2;
  host.append(element("option", { value: -1 }, `All ${model.head.hosts.length} hosts`), ...model.head.hosts.map((one, at) => element("option", { value: at }, one.name)));
  host.addEventListener("change", () => model.select({ host: Number(host.value), process: -1, connection: -1 }));
  const words = byId("words");
  let typing;
  words.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => model.select({ words: words.value }), 120);
  });
  model.listeners.push(() => {
    if (document.activeElement !== words && words.value !== model.selection.words) words.value = model.selection.words;
    host.value = String(model.selection.host);
    side.draw();
    draw(current);
  });

  setTheme(matchMedia("(prefers-color-scheme: dark)").matches);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => { setTheme(event.matches); redraw(); });
  const redraw = () => { drawn.clear(); draw(current); };
  const flip = () => { setTheme(document.documentElement.dataset.theme !== "dark"); redraw(); };
  byId("theme").addEventListener("click", flip);
  const help = () => byId("help").showModal();
  byId("help-button").addEventListener("click", help);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
    if (event.key === "Escape") {
      words.value = "";
      words.blur();
      clearSelection(model);
      return;
    }
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "checkbox") return;
    if (event.target.classList?.contains("plot") && "0".includes(event.key)) return;
    if (/^[1-7]$/.test(event.key)) open(VIEWS[Number(event.key) - 1][0]);
    else if (event.key === "/") words.focus();
    else if (event.key === "?") help();
    else if (event.key === "d") flip();
    else return;
    event.preventDefault();
  });
  // On paper, all views are shown, with the first rows of their tables.
  addEventListener("beforeprint", () => {
    setTheme(false);
    for (const [name] of VIEWS) { byId(`view-${name}`).hidden = false; views[name].draw(); }
    for (const view of Object.values(views)) for (const grid of [view.grid, view.listenerGrid, view.intervalGrid]) grid?.draw(true);
  });
  addEventListener("afterprint", () => { drawn.clear(); open(current); });

  open("overview");
  side.draw();
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
  model.views = views;
  globalThis.honeReport = model;
}

start().catch((error) => {
  byId("problem").hidden = false;
  byId("problem").textContent = `This report cannot be shown: ${error.message}`;
});

// How numbers and times are written, and elements made. Text of the data reaches the page only through `textContent`.

const NONE = 0xffffffff;

/** 1234567 as "1,234,567". */
const thousands = (number) => Math.round(number).toString().replace(/\B(?=(\d{3})+$)/g, ",");

/** 1 packet, 2 packets. */
const counted = (number, what) => `${thousands(number)} ${what}${number === 1 ? "" : "s"}`;

/** 1536 as "1.5 KiB". */
function bytesText(number) {
  if (number < 1024) return `${Math.round(number)} B`;
  const units = ["KiB", "MiB", "GiB", "TiB", "PiB"];
  let at = 0;
  for (number /= 1024; number >= 1023.95 && at < units.length - 1; at++) number /= 1024;
  return `${number.toFixed(1)} ${units[at]}`;
}

/** Microseconds as a span of time. */
function spanText(micros) {
  if (Number.isNaN(micros)) return "";
  const seconds = micros / 1e6;
  if (seconds < 0.001) return `${Math.round(micros)} µs`;
  if (seconds < 1) return `${(seconds * 1000).toFixed(1)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${two((seconds / 60) % 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${two((seconds / 3600) % 24)} h`;
}

/** Microseconds since 1970 as text in UTC: whole seconds, or with all six digits. */
function timeText(micros, digits) {
  if (Number.isNaN(micros)) return "";
  const text = new Date(Math.floor(micros / 1000)).toISOString();
  const whole = `${text.slice(0, 10)} ${text.slice(11, 19)}`;
  return digits ? `${whole}.${String(Math.floor(micros % 1e6)).padStart(6, "0")}` : whole;
}

/** The same, as `honeutil show --from` takes it. */
const timeOption = (micros) => `${timeText(micros, true).replace(" ", "T")}Z`;

const percent = (part, whole) => (whole ? (part && part < whole / 1000 ? "< 0.1 %" : `${((100 * part) / whole).toFixed(1)} %`) : "0 %");

/** An element with attributes and children; text children stay text. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== undefined && child !== null));
  return made;
}

/** The same of SVG. */
function drawing(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

const byId = (id) => document.getElementById(id);

/** Copies text to the clipboard, and says so at the button. */
async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = element("textarea", { readonly: true });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 1200);
}

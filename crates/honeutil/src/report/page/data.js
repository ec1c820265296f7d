// The data of the report: a gzip stream in base64. Inside it are the length of the head (u32, little-endian), the head as
// JSON, padding to 8 bytes, and columns. The head says where each column lies and of which type it is. Column "strings" has all
// texts one after the other in UTF-8, column "string_ends" where each ends; other columns name a text by its number. Text 0 is empty.

/** Bytes of a base64 text. */
function bytesOfBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const values = new Uint8Array(128);
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (let at = 0; at < 64; at++) values[letters.charCodeAt(at)] = at;
  const length = (text.length >> 2) * 3 - (text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0);
  const bytes = new Uint8Array(length);
  for (let from = 0, to = 0; to < length; from += 4) {
    const four = (values[text.charCodeAt(from)] << 18) | (values[text.charCodeAt(from + 1)] << 12)
      | (values[text.charCodeAt(from + 2)] << 6) | values[text.charCodeAt(from + 3)];
    bytes[to++] = four >> 16;
    if (to < length) bytes[to++] = four >> 8;
    if (to < length) bytes[to++] = four;
  }
  return bytes;
}

/** Bytes of a gzip stream; by this page's own code where the browser has none. */
async function gunzip(bytes, length) {
  if (typeof DecompressionStream === "undefined") return inflate(bytes.subarray(10), length);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Inflates a stream of RFC 1951 whose inflated length is known. */
function inflate(input, length) {
  const output = new Uint8Array(length);
  let at = 0, out = 0, hold = 0, held = 0;
  const bits = (count) => {
    while (held < count) { hold |= input[at++] << held; held += 8; }
    const value = hold & ((1 << count) - 1);
    hold >>>= count;
    held -= count;
    return value;
  };
  const table = (lengths) => {
    const counts = new Uint16Array(16), offsets = new Uint16Array(16), symbols = new Uint16Array(lengths.length);
    for (const one of lengths) counts[one]++;
    counts[0] = 0;
    for (let one = 1; one < 16; one++) offsets[one] = offsets[one - 1] + counts[one - 1];
    lengths.forEach((one, symbol) => { if (one) symbols[offsets[one]++] = symbol; });
    return { counts, symbols };
  };
  const symbol = ({ counts, symbols }) => {
    for (let code = 0, first = 0, index = 0, one = 1; one < 16; one++) {
      code |= bits(1);
      if (code - counts[one] < first) return symbols[index + code - first];
      index += counts[one];
      first = (first + counts[one]) << 1;
      code <<= 1;
    }
    throw new Error("the data of this report is damaged");
  };
  const fill = (from, to, value, lengths) => lengths.fill(value, from, to);
  const fixed = new Array(288);
  fill(0, 144, 8, fixed); fill(144, 256, 9, fixed); fill(256, 280, 7, fixed); fill(280, 288, 8, fixed);
  const bases = (first, extra) => extra.map((_, at) => extra.slice(0, at).reduce((sum, one) => sum + (1 << one), first));
  const lengthExtra = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
  const lengthBase = bases(3, lengthExtra);
  lengthBase[28] = 258;
  const farExtra = Array.from({ length: 30 }, (_, at) => Math.max(0, (at >> 1) - 1));
  const farBase = bases(1, farExtra);
  for (let last = 0; !last;) {
    last = bits(1);
    const kind = bits(2);
    if (kind === 0) {
      hold = held = 0;
      const count = input[at] | (input[at + 1] << 8);
      output.set(input.subarray(at + 4, at + 4 + count), out);
      at += 4 + count;
      out += count;
      continue;
    }
    let literals = table(fixed), far = table(new Array(30).fill(5));
    if (kind === 2) {
      const [literalCount, farCount, codeCount] = [bits(5) + 257, bits(5) + 1, bits(4) + 4];
      const codes = new Array(19).fill(0);
      for (const place of [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15].slice(0, codeCount)) codes[place] = bits(3);
      const code = table(codes), lengths = [];
      while (lengths.length < literalCount + farCount) {
        const one = symbol(code);
        if (one < 16) lengths.push(one);
        else {
          const value = one === 16 ? lengths[lengths.length - 1] : 0;
          const count = one === 16 ? 3 + bits(2) : one === 17 ? 3 + bits(3) : 11 + bits(7);
          for (let n = 0; n < count; n++) lengths.push(value);
        }
      }
      literals = table(lengths.slice(0, literalCount));
      far = table(lengths.slice(literalCount));
    }
    for (let one; (one = symbol(literals)) !== 256;) {
      if (one < 256) { output[out++] = one; continue; }
      const count = lengthBase[one - 257] + bits(lengthExtra[one - 257]);
      const place = symbol(far);
      const distance = farBase[place] + bits(farExtra[place]);
      for (let n = 0; n < count; n++, out++) output[out] = output[out - distance];
    }
  }
  return output;
}

const TYPES = { u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, f64: Float64Array };

/** Reads the data of an element of the page: the head, the columns, and the texts. */
async function readData(element) {
  const packed = bytesOfBase64(element.textContent.trim());
  element.remove();
  const ends = packed.subarray(packed.length - 4);
  const bytes = await gunzip(packed, new DataView(ends.buffer, ends.byteOffset, 4).getUint32(0, true));
  const headLength = new DataView(bytes.buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + headLength)));
  const begin = (4 + headLength + 7) & ~7;
  const columns = {};
  for (const [name, [type, offset, length]] of Object.entries(head.columns)) {
    columns[name] = new TYPES[type](bytes.buffer, begin + offset, length);
  }
  const texts = new Array(columns.string_ends.length);
  const decoder = new TextDecoder();
  /** The text of this number. */
  const text = (number) => {
    if (texts[number] === undefined) {
      const from = number ? columns.string_ends[number - 1] : 0;
      texts[number] = decoder.decode(columns.strings.subarray(from, columns.string_ends[number]));
    }
    return texts[number];
  };
  let ranks;
  /** The place of a text in the order of all texts; numbers within texts are ordered as numbers. */
  const rank = (number) => {
    if (!ranks) {
      const keys = Array.from(texts, (_, at) => text(at).toLowerCase().replace(/\d+/g, (digits) => digits.padStart(12, "0")));
      const order = Uint32Array.from(keys.keys()).sort((a, b) => (keys[a] < keys[b] ? -1 : keys[a] > keys[b] ? 1 : 0));
      ranks = new Uint32Array(order.length);
      order.forEach((number, place) => { ranks[number] = place; });
    }
    return ranks[number];
  };
  return { head, columns, text, rank, texts: texts.length };
}

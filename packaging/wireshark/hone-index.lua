-- What hone.lua shows of a recording: which process each frame has. Reads the blocks and options of docs/format.md, without
-- Wireshark; Lua 5.2 and 5.4 take it.
--
-- hone.lua loads it. Wireshark loads each file of its folder, so also this one by itself: that does nothing.

local byte, sub, find = string.byte, string.sub, string.find
local CHUNK = 65536
-- As in Wireshark, no block is longer.
local MAX_BLOCK = 16 * 1024 * 1024
local MAX_CORRECTIONS = 100000

local SECTION, INTERFACE, OBSOLETE, SIMPLE, PACKET = 0x0A0D0D0A, 1, 2, 3, 6
local PROCESS, CONNECTION = 0x101, 0x102
local ENDED, FORKED, HASHED, CORRECTION = 0xFFFFFFFF, 1, 3, 0xFFFFFFFE
-- Other blocks that Wireshark numbers as frames: the journal's entry, Sysdig's events, custom blocks.
local ROWS = { [9] = true, [0x204] = true, [0x216] = true, [0x221] = true, [0xBAD] = true, [0x40000BAD] = true }
-- Custom blocks of Wireshark itself: its process information, no frames in the versions that write them.
local WIRESHARK_PEN = 32622

local function u16le(s, at)
  local a, b = byte(s, at, at + 1)
  return a + b * 256
end
local function u16be(s, at)
  local a, b = byte(s, at, at + 1)
  return a * 256 + b
end
local function u32le(s, at)
  local a, b, c, d = byte(s, at, at + 3)
  return a + b * 256 + c * 65536 + d * 16777216
end
local function u32be(s, at)
  local a, b, c, d = byte(s, at, at + 3)
  return a * 16777216 + b * 65536 + c * 256 + d
end

-- The options from `at` up to `stop`, exclusive, for a loop: code, position, length of each. `ends.well` becomes true if they
-- end at `stop`.
local function options(index, s, at, stop, ends)
  return function()
    local code, length
    if at + 4 <= stop then
      code, length = index.u16(s, at), index.u16(s, at + 2)
    end
    if not code or code == 0 or at + 4 + length > stop then
      if ends then
        ends.well = at == stop or code == 0 and length == 0 and at + 4 == stop
      end
      return nil
    end
    local start = at + 4
    at = start + length + (-length) % 4
    return code, start, length
  end
end

-- A connection's number, of 4 or 8 bytes: a number of Lua, or from 2^53 on a text with both halves.
local function connection_id(index, s, at, length)
  if length == 4 then
    return index.u32(s, at)
  end
  local low, high = index.u32(s, at + (index.little and 0 or 4)), index.u32(s, at + (index.little and 4 or 0))
  local id = high * 4294967296 + low
  return high < 0x200000 and id or string.format("%.0f:%.0f", low, high)
end

-- Bytes that are not of printable ASCII: control characters and what is not UTF-8 as \xNN.
local function escaped(bytes)
  local out, at = {}, 1
  while at <= #bytes do
    local first, second = byte(bytes, at, at + 1)
    local length = first < 0xC2 and 0 or first < 0xE0 and 2 or first < 0xF0 and 3 or first < 0xF5 and 4 or 0
    local text = sub(bytes, at, at + length - 1)
    local valid = length > 0 and #text == length and find(text, "^.[\128-\191]*$")
      and not (first == 0xE0 and second < 0xA0) and not (first == 0xED and second > 0x9F)
      and not (first == 0xF0 and second < 0x90) and not (first == 0xF4 and second > 0x8F)
      and not (first == 0xC2 and second < 0xA0)
    if not valid then
      text, length = string.format("\\x%02x", first), 1
    end
    out[#out + 1] = text
    at = at + length
  end
  return table.concat(out)
end

-- A text of the file as text for people.
local function shown(bytes)
  return (bytes:gsub("[^\32-\126]+", escaped))
end

local function new_index()
  return {
    head = "", -- the first bytes of the file, to recognise it by
    offset = 0, -- of the file: everything before it is indexed
    -- For each frame: what `code` makes of its process, how it is known, and its direction, or 0; its connection, or false.
    codes = {},
    connections = {},
    receivers = {}, -- of frames that are of a sender and a receiver: code and connection of this one
    processes = {}, -- each as it was at a time
    corrections = {}, -- for each connection
    corrected = 0,
    hosts = {}, -- of each section: its host, and the frames before it
    note = nil, -- why the file is not read further
    limit = nil, -- what is not kept of it
    slow = 0, -- packets with other options than Hone writes for a process, which take longer
    commented = false, -- whether packets have comments that `honeutil convert --to comments` wrote
  }
end

-- One number for the number of a process in `processes` or 0, how it is known or 0, and a direction.
local function code(process, how, direction)
  return ((process * 256 + how) * 4 + direction) * 2 + 1
end

local function decode(number)
  local rest = (number - 1) / 2
  local direction = rest % 4
  rest = (rest - direction) / 4
  local how = rest % 256
  return (rest - how) / 256, how, direction
end

local function section(index, block)
  -- The process of each process id, as a number; those that have ended; those without an event.
  index.known, index.ended, index.nameless = {}, {}, {}
  index.interfaces = {}
  local host = ""
  for code, at, length in options(index, block, 25, #block - 3) do
    if code == 257 then
      host = sub(block, at, at + length - 1)
    end
  end
  index.host = host
  index.hosts[#index.hosts + 1] = { host = host, before = #index.codes }
end

local function interface(index, block)
  local resolution = 1e-6
  for code, at, length in options(index, block, 17, #block - 3) do
    if code == 9 and length == 1 then
      local value = byte(block, at)
      resolution = value < 128 and 10.0 ^ -value or 2.0 ^ (128 - value)
    end
  end
  index.interfaces[#index.interfaces + 1] = resolution
end

-- Of a process, what packets show. A new table for each event: packets keep the one of their time.
local function process(index, block)
  local u32 = index.u32
  if #block < 28 then
    return
  end
  local pid, kind, path, arguments, line, named, new = u32(block, 9), 0, nil, nil, nil, nil, {}
  for code, at, length in options(index, block, 21, #block - 3) do
    local value = sub(block, at, at + length - 1)
    if code == 2 and length == 4 then
      kind = u32(block, at)
    elseif code == 3 then
      path = (path or "") .. value
    elseif code == 4 then
      arguments = (arguments or "") .. value
    elseif code == 5 and length == 4 then
      new.parent = u32(block, at)
    elseif code == 6 and length == 4 then
      new.user = named or string.format("%.0f", u32(block, at))
    elseif code == 8 then
      named = shown(value)
      new.user = named
    elseif code == 10 and not named then
      new.user = shown(value)
    elseif code == 11 then
      line = shown(value)
    elseif code == 12 then
      new.container = shown(value)
    elseif code == 15 then
      new.unit = shown(value)
    elseif code == 16 and length == 32 then
      new.sha256 = value:gsub(".", function(byte)
        return string.format("%02x", byte:byte())
      end)
    end
  end
  local processes, known = index.processes, index.known
  local before = processes[known[pid]]
  if kind == ENDED then
    if before then
      -- Its last packets may follow.
      index.ended[pid] = before
    end
    return
  end
  if kind == HASHED then
    -- It says nothing else, and the process may have ended.
    if before then
      before.sha256 = new.sha256
    end
    return
  end
  if path then
    new.path = shown(path)
    new.name = new.path:match("([^/]+)/*$") or new.path
  end
  if line or arguments then
    new.cmdline = line or shown((arguments:gsub("%z$", ""):gsub("%z", " ")))
  end
  -- Recordings of other sensors: what an event leaves out is as it was, or as the parent has it.
  local parent = new.parent and processes[known[new.parent]]
  local origin = parent
  if kind ~= FORKED and before and index.ended[pid] ~= before then
    origin = before
  end
  if origin then
    if not new.path then
      new.path, new.name, new.cmdline = origin.path, origin.name, new.cmdline or origin.cmdline
    end
    new.user = new.user or origin.user
    if origin == before then
      new.parent = new.parent or before.parent
    end
  end
  new.pid = pid
  index.ended[pid] = nil
  processes[#processes + 1] = new
  known[pid] = #processes
end

-- The number in `processes` of a process id, as it is where the file has been read to.
local function process_of(index, pid)
  local number = index.known[pid] or index.nameless[pid]
  if pid == 0 then
    return 0
  elseif not number then
    number = #index.processes + 1
    index.processes[number] = { pid = pid }
    index.nameless[pid] = number
  end
  return number
end

-- Corrections only: other connection events say nothing about packets.
local function connection(index, block)
  local u32 = index.u32
  if not find(block, index.little and "\254\255\255\255" or "\255\255\255\254", 21, true) then
    return
  end
  local function read(wide)
    local at = wide and 17 or 13
    if #block < at + 15 then
      return nil
    end
    local it = { id = connection_id(index, block, 9, wide and 8 or 4), pid = u32(block, at), kind = 0 }
    local count = 0
    for code, start, length in options(index, block, at + 12, #block - 3, it) do
      count = count + 1
      if code == 2 and length == 4 then
        it.kind, it.first = u32(block, start), count == 1
      elseif code == 3 and length == 4 then
        it.direction = u32(block, start)
      elseif code == 4 and length == 8 then
        it.from, it.to = u32(block, start), u32(block, start + 4)
      elseif code == 5 and length == 8 then
        it.time = (u32(block, start) * 4294967296.0 + u32(block, start + 4)) * (index.interfaces[1] or 1e-6)
      elseif code == 6 and length == 1 then
        it.how = byte(block, start)
      end
    end
    return it
  end
  local narrow, wide = read(false), read(true)
  local event = narrow
  if wide and wide.well and (not narrow or not narrow.well or (wide.first and not narrow.first)) then
    event = wide
  end
  if not event or event.kind ~= CORRECTION or not (event.from or event.time) then
    return
  end
  if index.corrected == MAX_CORRECTIONS then
    index.limit = "more than 100,000 corrections: the processes of some packets are those that were recorded first"
    return
  end
  index.corrected = index.corrected + 1
  local list = index.corrections[event.id] or {}
  index.corrections[event.id] = list
  event.before, event.host = #index.codes, index.host
  event.process = (event.how or 0) < 128 and process_of(index, event.pid) or 0
  list[#list + 1] = event
end

-- What the options of a packet say, from `at` up to `stop`, exclusive: its code, and its connection or false; the same of
-- its receiver, if the block is of both.
local function packet(index, s, at, stop)
  if stop - at == 48 and index.little then
    -- As Hone writes them, which a test makes sure of: flags, process and thread, connection, process, how.
    local a, b, c, d, direction, _, _, _, t, u, v, w, _, _, _, _, _, _, _, _, e, f, g, h, i1, i2, i3, i4, k, l, m, n,
      p1, p2, p3, p4, o, p, q, r, how = byte(s, at, at + 40)
    if a == 2 and b == 0 and c == 4 and d == 0 and t == 8 and u == 0 and v == 8 and w == 0 and e == 1 and f == 1 and g == 4
      and h == 0 and k == 2 and l == 1 and m == 4 and n == 0 and o == 3 and p == 1 and q == 1 and r == 0 then
      local pid = p1 + p2 * 256 + p3 * 65536 + p4 * 16777216
      local process = index.known[pid] or process_of(index, pid)
      return code(process, how, direction % 4), i1 + i2 * 256 + i3 * 65536 + i4 * 16777216
    end
  end
  index.slow = index.slow + 1
  local direction, how, pid, id = 0, 0, nil, false
  -- Options 257 to 259 come twice if the packet was recorded once for its sender and its receiver: the sender's first.
  local receiver = { how = 0, id = false }
  for option, start, length in options(index, s, at, stop) do
    if option == 2 and length == 4 then
      direction = index.u32(s, start) % 4
    elseif option == 257 and how > 0 and (length == 4 or length == 8) then
      receiver.id = connection_id(index, s, start, length)
    elseif option == 258 and how > 0 and length >= 4 then
      receiver.pid = index.u32(s, start)
    elseif option == 259 and how > 0 and length == 1 then
      receiver.how = byte(s, start)
    elseif option == 257 and (length == 4 or length == 8) then
      id = connection_id(index, s, start, length)
    elseif (option == 258 or option == 8) and length >= 4 and not pid then
      pid = index.u32(s, start)
    elseif option == 259 and length == 1 then
      how = byte(s, start)
    elseif option == 1 and sub(s, start, start + 5) == "hone: " then
      index.commented = true
    end
  end
  if receiver.how == 0 then
    -- There is one owner, whose options come in another order.
    id, pid, receiver = id or receiver.id, pid or receiver.pid, nil
  end
  if not (id or pid or how > 0) then
    return 0, false
  end
  local received = receiver and { code = code(process_of(index, receiver.pid or 0), receiver.how, 1), id = receiver.id }
  return code(process_of(index, pid or 0), how, direction), id, received
end

-- Takes what read(n) gives, up to its end: nil, or nothing. Can go on later, from index.offset, if the file has grown.
-- `customs` is whether Wireshark shows its own custom blocks as frames. Returns whether the file is pcapng so far.
local function feed(index, read, customs)
  local buffer, at, exhausted = "", 1, false
  local codes, connections = index.codes, index.connections
  local frames = #codes
  -- Makes `n` bytes from `at` on available.
  local function need(n)
    while #buffer - at + 1 < n and not exhausted do
      local more = read(math.max(CHUNK, n))
      if not more or #more == 0 then
        exhausted = true
      else
        index.offset = index.offset + at - 1
        buffer, at = sub(buffer, at) .. more, 1
      end
    end
    return #buffer - at + 1 >= n
  end
  local function ended(note)
    index.offset, index.note = index.offset + at - 1, note
    return index.offset > 0
  end
  if need(12) and index.offset == 0 then
    need(64)
    index.head = sub(buffer, 1, 64)
  end
  while at + 11 <= #buffer or need(12) do
    if byte(buffer, at) == 10 and u32le(buffer, at) == SECTION then
      local magic = u32le(buffer, at + 8)
      if magic == 0x1A2B3C4D then
        index.u16, index.u32, index.little = u16le, u32le, true
      elseif magic == 0x4D3C2B1A then
        index.u16, index.u32, index.little = u16be, u32be, false
      else
        return ended(string.format("no section begins at byte %.0f: what follows is not read", index.offset + at - 1))
      end
    end
    local u32 = index.u32
    if not u32 then
      return false
    end
    local kind, length = u32(buffer, at), u32(buffer, at + 4)
    local padded = length + (-length) % 4
    if length < 12 or padded > MAX_BLOCK then
      return ended(string.format("the block at byte %.0f is damaged: what follows is not read", index.offset + at - 1))
    end
    if at + padded - 1 > #buffer and not need(padded) then
      break
    end
    if kind == PACKET then
      local captured = length < 32 and 0 or u32(buffer, at + 20)
      frames = frames + 1
      codes[frames], connections[frames], index.receivers[frames] =
        packet(index, buffer, at + 28 + captured + (-captured) % 4, at + length - 4)
    elseif kind == SIMPLE or kind == OBSOLETE or ROWS[kind] then
      if (kind ~= 0xBAD and kind ~= 0x40000BAD) or customs or u32(buffer, at + 8) ~= WIRESHARK_PEN then
        frames = frames + 1
        codes[frames], connections[frames] = 0, false
      end
    elseif kind == SECTION or kind == INTERFACE or kind == PROCESS or kind == CONNECTION then
      local block = sub(buffer, at, at + length - 1)
      if kind == SECTION then
        section(index, block)
      elseif kind == INTERFACE then
        interface(index, block)
      elseif kind == PROCESS then
        process(index, block)
      else
        connection(index, block)
      end
    end
    at = at + padded
  end
  return ended()
end

return { new = new_index, feed = feed, decode = decode }

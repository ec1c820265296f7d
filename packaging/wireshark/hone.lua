-- Hone in Wireshark 4.0 and newer: the process of each packet, as fields, for recordings of Hone as they are.
--
-- While Wireshark opens the file, hone-index.lua reads what is in it; then Wireshark's own reader reads the packets, and the
-- dissector at the end of this file looks each of them up by its number.

local folder = debug.getinfo(1, "S").source:match("^@?(.*[/\\])") or ""
local recording = dofile(folder .. "hone-index.lua")

local HOW = {
  [1] = "current task", [2] = "last sender", [3] = "last receiver", [4] = "creator", [5] = "acceptor", [6] = "listener",
  [7] = "connection", [8] = "open-connection list", [9] = "reader", [10] = "writer", [128] = "kernel", [129] = "no socket",
  [130] = "time-wait", [131] = "forwarded", [132] = "firewall", [133] = "unknown socket", [134] = "shared socket",
  [135] = "no room to wait",
}

local hone = Proto("hone", "Hone: the process of the packet")
-- Those with a key of a process first.
local FIELDS = {
  ProtoField.uint32("hone.pid", "Process ID", base.DEC),
  ProtoField.string("hone.name", "Name"),
  ProtoField.string("hone.path", "Path"),
  ProtoField.string("hone.cmdline", "Command line"),
  ProtoField.string("hone.user", "User"),
  ProtoField.string("hone.container", "Container"),
  ProtoField.string("hone.unit", "Unit"),
  ProtoField.uint32("hone.parent", "Parent process ID", base.DEC),
  ProtoField.string("hone.sha256", "SHA-256 of the executable"),
  ProtoField.uint64("hone.conn", "Connection", base.DEC),
  ProtoField.uint8("hone.how", "How the process is known", base.DEC, HOW),
  ProtoField.string("hone.direction", "Direction"),
  ProtoField.string("hone.note", "Note"),
}
local KEYS = { "pid", "name", "path", "cmdline", "user", "container", "unit", "parent", "sha256" }
local CONN, HOW_KNOWN, DIRECTION, NOTE = 10, 11, 12, 13
hone.fields = FIELDS

-- Comments of Hone are read where there is nothing better: looking for comments costs time. Without a window, there is one
-- file only, and it is known before Wireshark prepares the packets; after that, no field can be asked for.
local WINDOW = gui_enabled()
local comments_of = WINDOW and Field.new("frame.comment")

-- Which version this is decides what it numbers: from 5.0 on, its own custom blocks are no frames.
local CUSTOMS_ARE_FRAMES = (tonumber(get_version():match("^(%d+)")) or 4) < 5

local index = recording.new()
-- A live capture: the file that dumpcap writes, opened a second time, and its size when it was last read.
local growing, size_read
-- Frames that a read filter (-R) leaves out have no number: the next one gets it. While the file is read for the first time,
-- each packet comes once, in order; `places` keeps which record of the file a number is, where it is another one.
local places, reading, last_number, last_place = {}, true, 0, 0

local function place_of(pinfo)
  local number = pinfo.number
  if reading and (number == last_number + 1 or not pinfo.visited) then
    if number < last_number then
      reading = false
    else
      last_place = last_place + math.max(number - last_number, 1)
      last_number = number
      if last_place ~= number then
        places[number] = last_place
      end
    end
  end
  return places[number] or number
end

-- How gzip, Zstandard and LZ4 files begin.
local PACKED = { ["\31\139"] = true, ["\40\181"] = true, ["\4\34"] = true }

-- The file that Wireshark reads and that begins as the index does, or, if `packed`, is compressed. Only Linux shows it.
local function find_open(packed)
  for number = 3, 255 do
    local information = io.open("/proc/self/fdinfo/" .. number)
    local text = information and information:read("*a") or ""
    if information then
      information:close()
    end
    -- Never a pipe or a terminal: they have no position.
    if text:find("pos:%s*[1-9]") and text:find("flags:%s*%d*0\n") then
      local file = io.open("/proc/self/fd/" .. number, "rb")
      local head = file and file:read(#index.head) or ""
      if file and (head == index.head or packed and PACKED[head:sub(1, 2)]) then
        return file
      end
      if file then
        file:close()
      end
    end
  end
  return nil
end

local function grow()
  if index.note or #index.head == 0 then
    return
  end
  growing = growing or find_open() or false
  if not growing then
    return
  end
  local size = growing:seek("end")
  if size ~= size_read and size > index.offset then
    size_read = size
    growing:seek("set", index.offset)
    recording.feed(index, function(n) return growing:read(n) end, CUSTOMS_ARE_FRAMES)
  end
end

local reader = FileHandler.new("Hone", "hone-index", "Hone: reads the processes, and leaves the packets to Wireshark", "rms")

-- Wireshark 4.0 uses what it gave to read_open once more after the call: it must not be collected meanwhile.
local kept

function reader.read_open(file, capture)
  kept = { file, capture }
  if growing then
    growing:close()
  end
  growing, size_read, index = nil, nil, recording.new()
  places, reading, last_number, last_place = {}, true, 0, 0
  -- A pipe cannot be read twice: after more than its first bytes, Wireshark could not read it at all.
  index.head = file:read(64) or ""
  local linux = io.open("/proc/self/fdinfo/0")
  if linux then
    linux:close()
    local found = find_open(true)
    if not found then
      index.note = "the file is a pipe, which cannot be read twice: use -i - instead of -r -, or save it and open that file"
      comments_of = comments_of or Field.new("frame.comment")
      return false
    end
    found:close()
  end
  file:seek("set", 0)
  local done, problem = pcall(recording.feed, index, function(n) return file:read(n) end, CUSTOMS_ARE_FRAMES)
  if not done then
    index.note = tostring(problem)
  end
  if index.commented then
    comments_of = comments_of or Field.new("frame.comment")
  end
  -- Wireshark's own reader opens the file.
  return false
end

-- Wireshark demands them. They are never called, because read_open never takes a file.
function reader.read() return false end
function reader.seek_read() return false end

register_filehandler(reader)

-- The sequence number of the first byte that a TCP segment carries; nil if it carries none. The packet starts at its IP header.
local function sequence_of(tvb)
  local length = tvb:captured_len()
  if length < 40 then
    return nil
  end
  local version, at, stop, protocol = tvb(0, 1):bitfield(0, 4), 40, 0, 0
  if version == 4 and tvb(6, 2):bitfield(3, 13) == 0 then
    at, stop, protocol = tvb(0, 1):bitfield(4, 4) * 4, tvb(2, 2):uint(), tvb(9, 1):uint()
  elseif version == 6 then
    local payload = tvb(4, 2):uint()
    stop, protocol = payload > 0 and 40 + payload or 0, tvb(6, 1):uint()
    -- Options of hops and of the destination, and routes.
    while (protocol == 0 or protocol == 43 or protocol == 60) and at + 8 <= length do
      protocol, at = tvb(at, 1):uint(), at + 8 + tvb(at + 1, 1):uint() * 8
    end
  end
  -- Segments that are one buffer of the kernel can be longer than IP can say.
  stop = stop > 0 and stop or tvb:reported_len()
  if protocol ~= 6 or length < at + 14 or at + tvb(at + 12, 1):bitfield(0, 4) * 4 >= stop then
    return nil
  end
  return tvb(at + 4, 4):uint() + tvb(at + 13, 1):bitfield(6, 1)
end

-- The process of a frame and how it is known, from its corrections.
local function corrected(number, process, how, direction, id, tvb, pinfo)
  local host
  for _, section in ipairs(index.hosts) do
    host = section.before < number and section.host or host
  end
  for _, correction in ipairs(index.corrections[id] or {}) do
    if number <= correction.before and correction.direction == direction and correction.host == host then
      local fits
      if correction.from then
        local first = sequence_of(tvb)
        fits = first and (first - correction.from) % 4294967296 < (correction.to - correction.from) % 4294967296
      else
        -- Wireshark gives times as numbers of double precision.
        fits = math.abs(tonumber(pinfo.abs_ts) - correction.time) < 5e-7
      end
      if fits then
        process, how = correction.process, correction.how or 0
      end
    end
  end
  return process, how
end

local DIRECTIONS = { [1] = "in", [2] = "out" }

local HOW_WORDS = {}
for number, words in pairs(HOW) do
  HOW_WORDS[words:gsub(" ", "-")] = number
end

-- What `honeutil convert --to comments` has written into the packet: process, how it is known, direction, connection.
local function from_comment()
  for _, comment in ipairs(comments_of and { comments_of() } or {}) do
    local text, said = comment.value, {}
    if text:sub(1, 6) == "hone: " then
      for key, value in text:gmatch("(%l+)=(%S+)") do
        said[key] = value ~= "-" and value:gsub("\\([\\x])(%x?%x?)", function(kind, hex)
          return kind == "\\" and kind .. hex or hex == "20" and " " or hex == "2d" and "-" or nil
        end) or nil
      end
      local pid = tonumber(said.pid)
      local owner = pid and { pid = pid, name = said.process, path = said.path, user = said.user,
        container = said.container, unit = said.unit }
      return owner, HOW_WORDS[said.how] or 0, said.direction, said.connection and UInt64.new(said.connection),
        "from the packet's comment, which has no command line and no parent"
    end
  end
end

local function id_of(id)
  if type(id) == "string" then
    local low, high = id:match("(%d+):(%d+)")
    return UInt64.new(tonumber(low), tonumber(high))
  end
  return UInt64.new(id % 4294967296, (id - id % 4294967296) / 4294967296)
end

-- The methods of Wireshark's trees: finding them takes longer than calling them.
local referenced, add, set_generated
local dissector
-- Which fields a filter, a column or a window needs, of the packet at hand, and whether any: adding fields is what costs time.
-- Without a window, they are the same for all packets of a pass.
local needed, wanted, visible, wanted_at = false, {}, false, math.huge

local function add_owner(branch, owner, how, direction, id)
  for field = 1, #KEYS do
    local value = owner and wanted[field] and owner[KEYS[field]]
    if value then
      add(branch, FIELDS[field], value)
    end
  end
  if id and wanted[CONN] then
    add(branch, FIELDS[CONN], id)
  end
  if (how or 0) > 0 and wanted[HOW_KNOWN] then
    add(branch, FIELDS[HOW_KNOWN], how)
  end
  if direction and wanted[DIRECTION] then
    add(branch, FIELDS[DIRECTION], direction)
  end
end

-- The receiver of a packet that is recorded once for both.
local function receiver_of(number, tvb, pinfo)
  local it = index.receivers[number]
  if not it then
    return nil
  end
  local process, how = recording.decode(it.code)
  if index.corrected > 0 and it.id then
    process, how = corrected(number, process, how, 1, it.id, tvb, pinfo)
  end
  return { owner = index.processes[process], how = how, id = it.id and wanted[CONN] and id_of(it.id) }
end

local function dissect(tvb, pinfo, tree)
  local number = place_of(pinfo)
  if not referenced then
    referenced, add, set_generated = tree.referenced, tree.add, tree.set_generated
  end
  if WINDOW or number <= wanted_at then
    needed, visible = referenced(tree, dissector), tree.visible
    for field = 1, #FIELDS do
      wanted[field] = needed and (visible or referenced(tree, FIELDS[field]))
    end
  end
  wanted_at = number
  if not needed then
    return
  end
  local number_code = index.codes[number]
  if not number_code then
    grow()
    number_code = index.codes[number]
  end
  local owner, how, direction, id, note, received
  if (number_code or 0) > 0 then
    local process
    process, how, direction = recording.decode(number_code)
    id = index.connections[number]
    if index.corrected > 0 and id then
      process, how = corrected(number, process, how, direction, id, tvb, pinfo)
    end
    received = receiver_of(number, tvb, pinfo)
    owner, direction, id, note = index.processes[process], DIRECTIONS[direction], id and wanted[CONN] and id_of(id), index.limit
  else
    owner, how, direction, id, note = from_comment()
    note = note or not number_code and index.note
    if not how and not note then
      return
    end
  end
  local branch
  if visible then
    local label = owner and string.format("%s (%.0f)", owner.name or "unknown name", owner.pid) or how and "no process" or "note"
    if received then
      local to = received.owner
      label = label .. " to " .. (to and string.format("%s (%.0f)", to.name or "unknown name", to.pid) or "no process")
    end
    branch = add(tree, hone, "Hone: " .. label)
    set_generated(branch)
  else
    branch = add(tree, hone)
  end
  add_owner(branch, owner, how, direction, id)
  if received then
    -- Each field comes twice: a filter finds the packet by either process.
    add_owner(branch, received.owner, received.how, "in", received.id)
  end
  if note and wanted[NOTE] then
    add(branch, FIELDS[NOTE], note)
  end
end

function hone.dissector(tvb, pinfo, tree)
  local done, problem = pcall(dissect, tvb, pinfo, tree)
  if not done then
    tree:add(hone):add(FIELDS[NOTE], "hone.lua: " .. tostring(problem)):set_generated()
  end
end

dissector = Dissector.get("hone")
register_postdissector(hone)

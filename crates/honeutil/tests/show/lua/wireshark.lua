-- Wireshark for hone.lua, as far as hone.lua uses it, and stricter: what it does not have is an error, and so is a value that
-- is not of its field's type. So any Lua can run the script.
--
--   lua wireshark.lua HONE.LUA RECORDING
--
-- Prints a line for each packet, with tabs between: its number, and field=value for each field that it has. A value that has
-- words is printed in words.

local script, path = arg[1], arg[2]
local fields, handlers, dissectors, postdissectors = {}, {}, {}, {}

local function object(name, methods, getters)
  local metatable = { name = name }
  function metatable.__index(self, key)
    if getters and getters[key] then
      return getters[key](self)
    end
    return methods[key] or error(name .. " has no " .. tostring(key), 2)
  end
  return metatable
end

local function expect(value, name)
  local metatable = getmetatable(value)
  assert(type(metatable) == "table" and metatable.name == name, "not a " .. name .. ": " .. tostring(value))
  return value
end

local function whole(bits)
  return function(value)
    assert(type(value) == "number" and value == math.floor(value) and value >= 0 and value < 2 ^ bits, tostring(value))
    return string.format("%.0f", value)
  end
end

local FIELD = object("ProtoField", {})
local function constructor(check)
  return function(name, title, base, words)
    assert(type(name) == "string" and type(title) == "string" and (base == nil or base == 1))
    assert(words == nil or type(words) == "table")
    local function text(value)
      local checked = check(value)
      return words and assert(words[value], "no words for " .. checked) or checked
    end
    return setmetatable({ field = name, text = text }, FIELD)
  end
end
local UINT64 = object("UInt64", {})
ProtoField = {
  uint8 = constructor(whole(8)),
  uint32 = constructor(whole(32)),
  uint64 = constructor(function(value) return expect(value, "UInt64").text end),
  string = constructor(function(value) assert(type(value) == "string") return value end),
}
UInt64 = {
  new = function(low, high)
    if type(low) == "string" then
      return setmetatable({ text = low }, UINT64)
    end
    return setmetatable({ text = string.format("%s+2^32*%s", whole(32)(low), whole(32)(high or 0)) }, UINT64)
  end,
}
base = { DEC = 1 }

local PROTO = { name = "Proto" }
function Proto(name, description)
  assert(type(description) == "string")
  dissectors[name] = setmetatable({ proto = name }, PROTO)
  return dissectors[name]
end
local DISSECTOR = object("Dissector", {})
Dissector = { get = function(name) return setmetatable({ of = assert(dissectors[name]) }, DISSECTOR) end }
Field = { new = function(name) assert(name == "frame.comment") return function() end end }
FileHandler = { new = function() return {} end }
function register_filehandler(handler)
  assert(handler.read_open and handler.read and handler.seek_read)
  handlers[#handlers + 1] = handler
end
function register_postdissector(proto)
  for _, field in ipairs(proto.fields) do
    fields[expect(field, "ProtoField")] = true
  end
  postdissectors[#postdissectors + 1] = proto
end
function get_version() return "4.4.0" end
function gui_enabled() return false end

local line
local TREE
TREE = object("TreeItem", {
  referenced = function(self, what)
    expect(self, "TreeItem")
    return getmetatable(what) == DISSECTOR or fields[what] or error("neither a field nor a dissector")
  end,
  add = function(self, what, value)
    expect(self, "TreeItem")
    if getmetatable(what) == FIELD then
      line[#line + 1] = what.field:match("^hone%.(%w+)$") .. "=" .. what.text(value)
    else
      assert(expect(what, "Proto") and (value == nil or type(value) == "string"))
    end
    return setmetatable({}, TREE)
  end,
  set_generated = function(self) return expect(self, "TreeItem") end,
}, { visible = function() return false end })

local RANGE = object("TvbRange", {
  uint = function(self)
    local value = 0
    for at = 1, #self.bytes do
      value = value * 256 + self.bytes:byte(at)
    end
    return value
  end,
  bitfield = function(self, from, count)
    return math.floor(self:uint() / 2 ^ (#self.bytes * 8 - from - count)) % 2 ^ count
  end,
})
local TVB = object("Tvb", {
  captured_len = function(self) return #self.bytes end,
  reported_len = function(self) return self.original end,
})
function TVB.__call(self, at, length)
  assert(at >= 0 and at + length <= #self.bytes, "outside of the packet")
  return setmetatable({ bytes = self.bytes:sub(at + 1, at + length) }, RANGE)
end
local PINFO = object("Pinfo", {})

setmetatable(_G, { __index = function(_, name) error("Wireshark has no " .. tostring(name), 2) end })
dofile(script)

local file = assert(io.open(path, "rb"))
for _, handler in ipairs(handlers) do
  local reading = { read = function(_, n) return file:read(n) end, seek = function(_, ...) return file:seek(...) end }
  assert(handler.read_open(reading, {}) == false, "Wireshark's own reader reads it")
end
file:seek("set", 0)
local content = file:read("*a")
local at, number, little = 1, 0, true
local function u32(position)
  local a, b, c, d = content:byte(position, position + 3)
  if not d then
    return 0
  end
  return little and a + b * 256 + c * 65536 + d * 16777216 or d + c * 256 + b * 65536 + a * 16777216
end
while at + 11 <= #content do
  if content:sub(at, at + 3) == "\10\13\13\10" then
    little = content:byte(at + 8) == 0x4D
  end
  local kind, length = u32(at), u32(at + 4)
  if length < 12 or at + length - 1 > #content then
    break
  end
  if kind == 6 and length >= 32 then
    number, line = number + 1, {}
    local tvb = setmetatable({ bytes = content:sub(at + 28, at + 27 + u32(at + 20)), original = u32(at + 24) }, TVB)
    -- As Wireshark's NSTime is a number: of double precision.
    local time = (u32(at + 12) * 4294967296.0 + u32(at + 16)) / 1e9
    for _, proto in ipairs(postdissectors) do
      proto.dissector(tvb, setmetatable({ number = number, visited = false, abs_ts = time }, PINFO), setmetatable({}, TREE))
    end
    print(number .. "\t" .. table.concat(line, "\t"))
  end
  at = at + length + (-length) % 4
end

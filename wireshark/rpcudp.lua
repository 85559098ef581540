-- RPC over UDP in Wireshark and tshark: calls, their answers, and what is sent again, of both networks.
--
-- Install: copy this file into the folder "Personal Lua Plugins" that Help, About Wireshark, Folders tells, or pass it
-- with -X lua_script:rpcudp.lua.  Tried with Wireshark 4.0 and 4.6, which have Lua 5.2 and 5.4.
--
-- A datagram is taken for one of ours if it is a request beyond doubt, and so are all others between the same two ports
-- after that.  The ports in the preference rpcudp.ports are ours in any case.  docs/protocol.md describes the datagrams.
--
-- The MessagePack is read here, as Wireshark's own dissector for it (4.0) knows neither bytes, nor negative integers,
-- nor arrays of more than 15.

local rpcudp = Proto("rpcudp", "RPC over UDP")

local HEADER = 21
local LONGEST = HEADER + 8192
local DEEPEST = 128

-- By the first byte.
local KINDS = {[0] = "Request", "Response", "Request", "Response"}
local NETWORKS = {[0] = "rpcudp", "rpcudp", "Storj", "Storj"}

local fields = {
    kind = ProtoField.uint8("rpcudp.kind", "Kind", base.DEC, KINDS),
    network = ProtoField.string("rpcudp.network", "Network"),
    id = ProtoField.bytes("rpcudp.id", "Message id"),
    method = ProtoField.string("rpcudp.method", "Method"),
    arguments = ProtoField.string("rpcudp.arguments", "Arguments"),
    result = ProtoField.string("rpcudp.result", "Result"),
    value = ProtoField.string("rpcudp.value", "Value"),
    trailing = ProtoField.bytes("rpcudp.trailing", "Bytes after the payload, which mean nothing"),
    retransmission = ProtoField.bool("rpcudp.retransmission", "Retransmission"),
    original = ProtoField.framenum("rpcudp.retransmission_of", "Retransmission of", base.NONE, frametype.RETRANS_PREV),
    requestIn = ProtoField.framenum("rpcudp.request_in", "Request in", base.NONE, frametype.REQUEST),
    responseIn = ProtoField.framenum("rpcudp.response_in", "Response in", base.NONE, frametype.RESPONSE),
    time = ProtoField.relative_time("rpcudp.time", "Time since the request"),
}
rpcudp.fields = fields

local malformed = ProtoExpert.new("rpcudp.malformed", "Malformed", expert.group.MALFORMED, expert.severity.ERROR)
local again = ProtoExpert.new("rpcudp.again", "retransmission", expert.group.SEQUENCE, expert.severity.NOTE)
rpcudp.experts = {malformed, again}

rpcudp.prefs.ports = Pref.range("UDP ports", "", "The ports whose datagrams are RPC over UDP in any case", 65535)

-- MessagePack: a value is read as a node, {offset, length, text} or {offset, length, name, count, children}; offsets are
-- from the beginning of the payload.  What is read is a string, which is faster than a Tvb.

-- By the first byte: what the value is, and how many bytes tell its length, or how long it is.
local SIZED = {
    [0xc4] = {"bytes", 1}, [0xc5] = {"bytes", 2}, [0xc6] = {"bytes", 4},
    [0xc7] = {"extension", 1}, [0xc8] = {"extension", 2}, [0xc9] = {"extension", 4},
    [0xd9] = {"text", 1}, [0xda] = {"text", 2}, [0xdb] = {"text", 4},
    [0xdc] = {"array", 2}, [0xdd] = {"array", 4}, [0xde] = {"map", 2}, [0xdf] = {"map", 4},
}
local FIXED = {
    [0xca] = {"float", 4}, [0xcb] = {"float", 8},
    [0xcc] = {"uint64", 1}, [0xcd] = {"uint64", 2}, [0xce] = {"uint64", 4}, [0xcf] = {"uint64", 8},
    [0xd0] = {"int64", 1}, [0xd1] = {"int64", 2}, [0xd2] = {"int64", 4}, [0xd3] = {"int64", 8},
    [0xd4] = {"extension", 1}, [0xd5] = {"extension", 2}, [0xd6] = {"extension", 4}, [0xd7] = {"extension", 8},
    [0xd8] = {"extension", 16},
}
local CONSTANTS = {[0xc0] = "null", [0xc2] = "false", [0xc3] = "true"}

-- The characters of UTF-8 (RFC 3629, section 4).
local REST = "[\128-\191]"
local CHARACTERS = {
    "^[\0-\127]+", "^[\194-\223]" .. REST, "^\224[\160-\191]" .. REST, "^[\225-\236\238\239]" .. REST .. REST,
    "^\237[\128-\159]" .. REST, "^\240[\144-\191]" .. REST .. REST, "^[\241-\243]" .. REST .. REST .. REST,
    "^\244[\128-\143]" .. REST .. REST,
}

-- Whatever is wrong with a payload is raised so, as a text.
local function refuse(reason)
    error(reason, 0)
end

local function checkUTF8(text)
    local position = 1
    while position <= #text do
        local last
        for _, character in ipairs(CHARACTERS) do
            last = last or select(2, text:find(character, position))
        end
        if not last then refuse("a text is not UTF-8") end
        position = last + 1
    end
end

local ESCAPES = {['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t"}

local function escape(text)
    return (text:gsub('[%c"\\]', function(character)
        return ESCAPES[character] or ("\\u%04x"):format(character:byte())
    end))
end

local function hex(text)
    return (text:gsub(".", function(character) return ("%02x"):format(character:byte()) end))
end

-- The shortest decimal number that is this one.
local function floatText(number)
    if number ~= number then return '"float:nan"' end
    if number == math.huge then return '"float:inf"' end
    if number == -math.huge then return '"float:-inf"' end
    local text
    for digits = 15, 17 do
        text = ("%." .. digits .. "g"):format(number)
        if tonumber(text) == number then break end
    end
    return text:find("^-?%d+$") and text .. ".0" or text
end

-- What leaves look like, which is nearly as rpcudp decode writes them.  Numbers are read by Wireshark, as those of Lua
-- 5.2 have no 64 bits.
local WRITERS = {
    text = function(data)
        checkUTF8(data)
        return '"' .. escape(data) .. '"'
    end,
    bytes = function(data) return '"hex:' .. hex(data) .. '"' end,
    extension = function(data)
        local number = data:byte()
        return ('"ext:%d:%s"'):format(number < 128 and number or number - 256, hex(data:sub(2)))
    end,
    float = function(_, range) return floatText(range:float()) end,
    uint64 = function(_, range) return tostring(range:uint64()) end,
    int64 = function(_, range) return tostring(range:int64()) end,
}

local function checkLength(data, offset, length)
    if offset + length > #data then refuse("it ends within a value") end
end

local function uint(data, offset, bytes)
    checkLength(data, offset, bytes)
    local number = 0
    for position = offset + 1, offset + bytes do number = number * 256 + data:byte(position) end
    return number
end

local readValue

-- A value that begins at an offset, of which what comes after its head begins at start, and has so many bytes, or parts.
local function readSized(data, payload, offset, depth, what, start, size)
    if what == "array" or what == "map" then
        if depth == DEEPEST then refuse("it nests deeper than " .. DEEPEST .. " levels") end
        local node = {offset = offset, name = what, count = size, children = {}}
        for number = 1, what == "map" and 2 * size or size do
            local child = readValue(data, payload, start, depth + 1)
            node.children[number] = child
            start = start + child.length
        end
        node.length = start - offset
        return node
    end
    if what == "extension" then size = size + 1 end
    checkLength(data, start, size)
    local part = data:sub(start + 1, start + size)
    local text = WRITERS[what](part, size > 0 and payload(start, size))
    return {offset = offset, length = start + size - offset, text = text, plain = what == "text" and part or nil}
end

function readValue(data, payload, offset, depth)
    local first = uint(data, offset, 1)
    local after = offset + 1
    if first < 0x80 or first >= 0xe0 then
        return {offset = offset, length = 1, text = ("%d"):format(first < 0x80 and first or first - 0x100)}
    end
    if first < 0x90 then return readSized(data, payload, offset, depth, "map", after, first - 0x80) end
    if first < 0xa0 then return readSized(data, payload, offset, depth, "array", after, first - 0x90) end
    if first < 0xc0 then return readSized(data, payload, offset, depth, "text", after, first - 0xa0) end
    if CONSTANTS[first] then return {offset = offset, length = 1, text = CONSTANTS[first]} end
    if FIXED[first] then return readSized(data, payload, offset, depth, FIXED[first][1], after, FIXED[first][2]) end
    if not SIZED[first] then refuse(("%02x begins no value"):format(first)) end
    local what, bytes = SIZED[first][1], SIZED[first][2]
    return readSized(data, payload, offset, depth, what, after + bytes, uint(data, after, bytes))
end

-- A node as one text.
local function textOf(node)
    if node.text then return node.text end
    local parts = {}
    if node.name == "array" then
        for _, child in ipairs(node.children) do parts[#parts + 1] = textOf(child) end
        return "[" .. table.concat(parts, ", ") .. "]"
    end
    for number = 1, #node.children, 2 do
        local key = textOf(node.children[number])
        if key:sub(1, 1) ~= '"' then key = '"' .. escape(key) .. '"' end
        parts[#parts + 1] = key .. ": " .. textOf(node.children[number + 1])
    end
    return "{" .. table.concat(parts, ", ") .. "}"
end

local function addNode(tree, payload, node, label)
    local range = payload(node.offset, node.length)
    if node.text then
        tree:add(fields.value, range, node.text, label .. node.text)
        return
    end
    local branch = tree:add(rpcudp, range, ("%s%s of %d"):format(label, node.name, node.count))
    for number, child in ipairs(node.children) do
        local isValue = node.name == "map" and number % 2 == 0
        addNode(branch, payload, child, node.name == "array" and "" or isValue and "value: " or "key: ")
    end
end

-- The value of a datagram and its payload, or nil and why it is malformed.
local function decode(tvb)
    if tvb:len() <= HEADER then return nil, ("%d bytes, and %d are the least"):format(tvb:len(), HEADER + 1) end
    local kind = tvb(0, 1):uint()
    if not KINDS[kind] then return nil, ("it begins with %02x, and not with 00, 01, 02 or 03"):format(kind) end
    local payload = tvb(HEADER, math.min(tvb:len(), LONGEST) - HEADER):tvb()
    local isRead, value = pcall(readValue, payload:raw(), payload, 0, 0)
    if not isRead then return nil, tostring(value) end
    if kind % 2 == 0 then
        local parts = value.name == "array" and value.children or {}
        if #parts ~= 2 or not parts[1].plain or parts[2].name ~= "array" then
            return nil, "it is not [method, [argument, ...]]"
        end
    end
    return value, payload
end

-- Calls: {caller, callerPort, peer, peerPort, datagram, frame, time, method, response}, in lists by network, message id
-- and the caller's port.  Addresses are compared, as their texts may be names, and change while names are resolved.
local calls
-- What is known of a frame: {call, repeats, seconds}, of which repeats is the frame that it repeats.
local frames

-- Of so many calls with one message id from one port, the latest are remembered.
local REMEMBERED = 50

function rpcudp.init()
    calls, frames = {}, {}
end

local function callsOf(tvb, port)
    local key = NETWORKS[tvb(0, 1):uint()] .. tvb:raw(1, 20) .. port
    calls[key] = calls[key] or {}
    return calls[key]
end

local function learnRequest(tvb, pinfo, value)
    local list, datagram = callsOf(tvb, pinfo.src_port), tvb:raw()
    for _, call in ipairs(list) do
        local isSame = call.peerPort == pinfo.dst_port and call.caller == pinfo.src and call.peer == pinfo.dst
        if isSame and call.datagram == datagram then return {call = call, repeats = call.frame} end
    end
    local method = value.children[1].plain
    -- Wireshark ends a text at the first null byte.
    if method:find("\0", 1, true) then method = escape(method) end
    local call = {
        caller = pinfo.src, callerPort = pinfo.src_port, peer = pinfo.dst, peerPort = pinfo.dst_port,
        datagram = datagram, frame = pinfo.number, time = pinfo.rel_ts, method = method,
    }
    list[#list + 1] = call
    if #list > REMEMBERED then table.remove(list, 1) end
    return {call = call}
end

-- The call that a response is to: the latest to where it comes from, or else the latest, as a host with several
-- addresses may answer from another one.
local function findCall(tvb, pinfo)
    local found
    for _, call in ipairs(callsOf(tvb, pinfo.dst_port)) do
        if call.caller == pinfo.dst then
            local comesFromPeer = call.peerPort == pinfo.src_port and call.peer == pinfo.src
            if comesFromPeer or not (found and found.isPeer) then found = {call = call, isPeer = comesFromPeer} end
        end
    end
    return found and found.call
end

local function learnResponse(tvb, pinfo)
    local call = findCall(tvb, pinfo)
    if not call then return nil end
    local frame = {call = call, repeats = call.response, seconds = pinfo.rel_ts - call.time}
    call.response = call.response or pinfo.number
    return frame
end

-- Find out what a frame is, when it is seen for the first time.  Errors of ICMP quote datagrams, which are not sent again
-- by that.
local function learn(tvb, pinfo, value)
    if pinfo.visited or pinfo.in_error_pkt then return end
    local isRequest = tvb(0, 1):uint() % 2 == 0
    frames[pinfo.number] = isRequest and learnRequest(tvb, pinfo, value) or learnResponse(tvb, pinfo)
end

local function toNSTime(seconds)
    local nanoseconds = math.floor(math.abs(seconds) * 1e9 + 0.5)
    local sign = seconds < 0 and -1 or 1
    return NSTime.new(sign * math.floor(nanoseconds / 1e9), sign * (nanoseconds % 1e9))
end

-- Of a method, and of arguments and results, so many bytes stand in the column.
local SHOWN = 100

local function shorten(text)
    if #text <= SHOWN then return text end
    -- Without the beginning of a character.
    return text:sub(1, SHOWN):gsub("[\192-\255][\128-\191]*$", "") .. "..."
end

-- What is known of the call; what the column says of that, before and after what the datagram says itself.
local function addCall(tree, pinfo)
    local frame = frames[pinfo.number]
    if not frame or pinfo.in_error_pkt then return "", "" end
    local call, before, after = frame.call, "", ""
    if frame.seconds then
        tree:add(fields.method, call.method):set_generated()
        tree:add(fields.requestIn, call.frame):set_generated()
        tree:add(fields.time, toNSTime(frame.seconds)):set_generated()
        after = (" to %s after %.3f ms"):format(shorten(escape(call.method)), frame.seconds * 1000)
    elseif call.response then
        tree:add(fields.responseIn, call.response):set_generated()
    end
    if frame.repeats then
        tree:add(fields.retransmission, true):set_generated()
        tree:add(fields.original, frame.repeats):set_generated()
        tree:add_proto_expert_info(again)
        before = "[retransmission] "
    end
    return before, after
end

-- What the column says of a datagram that cannot be read.
local function explain(tvb, pinfo, root, reason)
    local kind = tvb:len() >= HEADER and tvb(0, 1):uint()
    local isWhole = tvb:reported_len() <= tvb:len() and not pinfo.fragmented and not pinfo.in_error_pkt
    if isWhole then
        local text = "Malformed datagram: " .. reason
        root:add_proto_expert_info(malformed, text)
        return text
    end
    local text = ("%d bytes of a datagram that is not all here"):format(tvb:len())
    if not KINDS[kind] or kind % 2 == 0 then return text end
    learn(tvb, pinfo)
    local before, after = addCall(root, pinfo)
    return before .. KINDS[kind] .. after .. ": " .. text
end

local function show(tvb, pinfo, tree, value, payload)
    pinfo.cols.protocol = "RPCUDP"
    local root = tree:add(rpcudp, tvb())
    local kind = tvb:len() >= HEADER and tvb(0, 1):uint()
    if KINDS[kind] then
        root:add(fields.kind, tvb(0, 1))
        root:add(fields.network, tvb(0, 1), NETWORKS[kind]):set_generated()
        root:add(fields.id, tvb(1, 20))
    end
    local info
    if value then
        learn(tvb, pinfo, value)
        local isRequest = kind % 2 == 0
        local shown, field, label = value, fields.result, "Result: "
        local before, after = addCall(root, pinfo)
        if isRequest then
            local method = value.children[1]
            shown, field, label = value.children[2], fields.arguments, "Arguments: "
            after = " " .. shorten(escape(method.plain))
            root:add(fields.method, payload(method.offset, method.length), method.plain)
        end
        local text = textOf(shown)
        root:add(field, payload(shown.offset, shown.length), text)
        addNode(root, payload, shown, label)
        if value.length < payload:len() then root:add(fields.trailing, payload(value.length)) end
        info = before .. KINDS[kind] .. after .. ": " .. shorten(text)
    else
        info = explain(tvb, pinfo, root, payload)
    end
    root:append_text(", " .. info)
    pinfo.cols.info = info
    return tvb:len()
end

function rpcudp.dissector(tvb, pinfo, tree)
    return show(tvb, pinfo, tree, decode(tvb))
end

-- Ports, and what is taken for one of ours without them

local udp = DissectorTable.get("udp.port")
udp:add_for_decode_as(rpcudp)

local registered = ""

function rpcudp.prefs_changed()
    if registered ~= "" then udp:remove(registered, rpcudp) end
    registered = rpcudp.prefs.ports
    if registered ~= "" then udp:add(registered, rpcudp) end
end

rpcudp:register_heuristic("udp", function(tvb, pinfo, tree)
    local kind = tvb:len() > HEADER and tvb(0, 1):uint()
    if not KINDS[kind] then return false end
    local isRequest = kind % 2 == 0
    if isRequest and tvb(HEADER, 1):uint() ~= 0x92 then return false end
    -- A response is known by its request.
    if not isRequest and not (pinfo.visited and frames[pinfo.number] or not pinfo.visited and findCall(tvb, pinfo)) then
        return false
    end
    local value, payload = decode(tvb)
    if isRequest and not value then return false end
    pinfo.conversation = rpcudp
    show(tvb, pinfo, tree, value, payload)
    return true
end)

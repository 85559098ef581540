-- RPC over UDP in Wireshark and tshark: calls, their answers, and what is sent again, of both networks.
--
-- Install: copy this file into the folder "Personal Lua Plugins" that Help, About Wireshark, Folders tells, or pass it
-- with -X lua_script:rpcudp.lua.
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

-- MessagePack: a value is read as a node, {offset, length, text} or {offset, length, name, children}.

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

local function quote(text)
    return '"' .. text:gsub('[%c"\\]', function(character) return ("\\u%04x"):format(character:byte()) end) .. '"'
end

local function hex(range)
    return range and range:bytes():tohex(true) or ""
end

-- As rpcudp decode writes them.
local WRITERS = {
    text = function(range)
        local text = range and range:raw() or ""
        checkUTF8(text)
        return quote(text)
    end,
    bytes = function(range) return '"hex:' .. hex(range) .. '"' end,
    float = function(range)
        local number = range:float()
        if number ~= number then return '"float:nan"' end
        if number == math.huge then return '"float:inf"' end
        if number == -math.huge then return '"float:-inf"' end
        local text = ("%.17g"):format(number)
        local short = ("%.15g"):format(number)
        return tonumber(short) == number and short or text
    end,
    uint64 = function(range) return tostring(range:uint64()) end,
    int64 = function(range) return tostring(range:int64()) end,
}

local function readValue(payload, offset, depth)
    local function take(start, length)
        if start + length > payload:len() then refuse("it ends within a value") end
        return length > 0 and payload(start, length) or nil
    end

    local function leaf(start, length, text)
        return {offset = offset, length = start + length - offset, text = text}
    end

    local function several(name, start, count, perElement)
        if depth == DEEPEST then refuse("it nests deeper than " .. DEEPEST .. " levels") end
        local node = {offset = offset, name = name, count = count, children = {}}
        for number = 1, count * perElement do
            local child = readValue(payload, start, depth + 1)
            node.children[number] = child
            start = start + child.length
        end
        node.length = start - offset
        return node
    end

    local function sized(what, start, length)
        if what == "array" then return several(what, start, length, 1) end
        if what == "map" then return several(what, start, length, 2) end
        if what == "extension" then
            local number = take(start, 1):int()
            return leaf(start, 1 + length, ('"ext:%d:%s"'):format(number, hex(take(start + 1, length))))
        end
        local node = leaf(start, length, WRITERS[what](take(start, length)))
        node.isText = what == "text"
        return node
    end

    local first = take(offset, 1):uint()
    if first < 0x80 then return leaf(offset, 1, tostring(first)) end
    if first < 0x90 then return sized("map", offset + 1, first - 0x80) end
    if first < 0xa0 then return sized("array", offset + 1, first - 0x90) end
    if first < 0xc0 then return sized("text", offset + 1, first - 0xa0) end
    if first >= 0xe0 then return leaf(offset, 1, tostring(first - 0x100)) end
    if CONSTANTS[first] then return leaf(offset, 1, CONSTANTS[first]) end
    if FIXED[first] then return sized(FIXED[first][1], offset + 1, FIXED[first][2]) end
    if not SIZED[first] then refuse(("%02x begins no value"):format(first)) end
    local what, bytes = SIZED[first][1], SIZED[first][2]
    return sized(what, offset + 1 + bytes, take(offset + 1, bytes):uint())
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
        if key:sub(1, 1) ~= '"' then key = quote(key) end
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

-- The value of a datagram, or nil and why it is malformed.
local function decode(tvb)
    if tvb:len() <= HEADER then return nil, ("%d bytes, and %d are the least"):format(tvb:len(), HEADER + 1) end
    local kind = tvb(0, 1):uint()
    if not KINDS[kind] then return nil, ("it begins with %02x, and not with 00, 01, 02 or 03"):format(kind) end
    local payload = tvb(HEADER, math.min(tvb:len(), LONGEST) - HEADER):tvb()
    local isRead, value = pcall(readValue, payload, 0, 0)
    if not isRead then return nil, tostring(value) end
    if kind % 2 == 0 then
        local parts = value.children or {}
        if value.name ~= "array" or #parts ~= 2 or not parts[1].isText or parts[2].name ~= "array" then
            return nil, "it is not [method, [argument, ...]]"
        end
    end
    return value, payload
end

-- Calls: {frame, time, method, response}

-- By sender, receiver and bytes of the request; and by network, message id and caller.
local callsByRequest, callsByCaller
-- What is known of a frame: its call, and the frame that it repeats.
local frames

function rpcudp.init()
    callsByRequest, callsByCaller, frames = {}, {}, {}
end

local function callerKey(tvb, address, port)
    return ("%s %s %s %d"):format(NETWORKS[tvb(0, 1):uint()], hex(tvb(1, 20)), tostring(address), port)
end

-- Errors of ICMP quote datagrams, which are not sent again by that.
local icmp, icmp6 = Field.new("icmp.type"), Field.new("icmpv6.type")

-- Find out what a frame is, when it is seen for the first time; a request needs its value.
local function learn(tvb, pinfo, value)
    if pinfo.visited or icmp() or icmp6() then return end
    local isRequest = tvb(0, 1):uint() % 2 == 0
    local call, repeats
    if isRequest then
        local caller = callerKey(tvb, pinfo.src, pinfo.src_port)
        local key = ("%s %s %d %s"):format(caller, tostring(pinfo.dst), pinfo.dst_port, tvb:raw())
        call = callsByRequest[key]
        repeats = call and call.frame
        if not call then
            call = {frame = pinfo.number, time = pinfo.rel_ts, method = value.children[1].text:sub(2, -2)}
            callsByRequest[key] = call
        end
        callsByCaller[caller] = call
    else
        call = callsByCaller[callerKey(tvb, pinfo.dst, pinfo.dst_port)]
        if not call then return end
        repeats = call.response
        call.response = call.response or pinfo.number
    end
    frames[pinfo.number] = {call = call, repeats = repeats}
end

local function seconds(number)
    local whole = math.floor(number)
    return NSTime.new(whole, math.floor((number - whole) * 1e9 + 0.5))
end

-- What is known of the call; what the column says of that, before and after what the datagram says itself.
local function addCall(tree, pinfo, isRequest)
    local frame = frames[pinfo.number]
    if not frame then return "", "" end
    local call, before, after = frame.call, "", ""
    if isRequest then
        if call.response then tree:add(fields.responseIn, call.response):set_generated() end
    else
        local time = pinfo.rel_ts - call.time
        tree:add(fields.method, call.method):set_generated()
        tree:add(fields.requestIn, call.frame):set_generated()
        tree:add(fields.time, seconds(time)):set_generated()
        after = (" to %s after %.3f ms"):format(call.method, time * 1000)
    end
    if frame.repeats then
        tree:add(fields.retransmission, true):set_generated()
        tree:add(fields.original, frame.repeats):set_generated()
        tree:add_proto_expert_info(again)
        before = "[retransmission] "
    end
    return before, after
end

-- Of arguments and results, so many bytes stand in the column.
local SHOWN = 100

local function shorten(text)
    if #text <= SHOWN then return text end
    -- Without the beginning of a character.
    return text:sub(1, SHOWN):gsub("[\192-\255][\128-\191]*$", "") .. "..."
end

function rpcudp.dissector(tvb, pinfo, tree)
    pinfo.cols.protocol = "RPCUDP"
    local root = tree:add(rpcudp, tvb())
    local kind = tvb:len() > 0 and tvb(0, 1):uint() or -1
    if KINDS[kind] and tvb:len() >= HEADER then
        root:add(fields.kind, tvb(0, 1))
        root:add(fields.network, tvb(0, 1), NETWORKS[kind]):set_generated()
        root:add(fields.id, tvb(1, 20))
    end
    local value, payload = decode(tvb)
    if not value then
        local text = "Malformed datagram: " .. payload
        if tvb:reported_len() > tvb:len() then
            text = ("Datagram of %d bytes, of which %d were captured"):format(tvb:reported_len(), tvb:len())
            if kind % 2 == 1 and KINDS[kind] and tvb:len() >= HEADER then
                learn(tvb, pinfo)
                local before, after = addCall(root, pinfo, false)
                text = before .. KINDS[kind] .. after .. ": " .. text
            end
        else
            root:add_proto_expert_info(malformed, text)
        end
        root:append_text(", " .. text)
        pinfo.cols.info = text
        return tvb:len()
    end
    learn(tvb, pinfo, value)
    local isRequest = kind % 2 == 0
    local before, after = addCall(root, pinfo, isRequest)
    local shown = value
    if isRequest then
        local method = value.children[1]
        shown = value.children[2]
        after = " " .. method.text:sub(2, -2)
        root:add(fields.method, payload(method.offset, method.length), method.text:sub(2, -2))
    end
    local field, label = isRequest and fields.arguments or fields.result, isRequest and "Arguments: " or "Result: "
    local text = textOf(shown)
    root:add(field, payload(shown.offset, shown.length), text)
    addNode(root, payload, shown, label)
    if value.length < payload:len() then root:add(fields.trailing, payload(value.length)) end
    local info = before .. KINDS[kind] .. after .. ": " .. shorten(text)
    root:append_text(", " .. info)
    pinfo.cols.info = info
    return tvb:len()
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

local function isOurs(tvb, pinfo)
    if tvb:len() <= HEADER or not KINDS[tvb(0, 1):uint()] then return false end
    if tvb(0, 1):uint() % 2 == 0 then return tvb(HEADER, 1):uint() == 0x92 and decode(tvb) ~= nil end
    -- From another address than the one that was called, as a host with several may answer.
    return frames[pinfo.number] ~= nil or callsByCaller[callerKey(tvb, pinfo.dst, pinfo.dst_port)] ~= nil
end

rpcudp:register_heuristic("udp", function(tvb, pinfo, tree)
    if not isOurs(tvb, pinfo) then return false end
    pinfo.conversation = rpcudp
    rpcudp.dissector(tvb, pinfo, tree)
    return true
end)

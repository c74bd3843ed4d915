-- gantry.control: the agent's door, a Unix socket that only it can enter.
local cjson = require "cjson.safe"
local certificates = require "gantry.certificates"
local shared = ngx.shared
local conf, marks, counters = shared.gantry_endpoints, shared.gantry_marks, shared.gantry_counters

local _M = {}

-- Seconds that a drain marker lasts if the reload that it announces fails.
local DRAIN_SECONDS = 30
-- Seconds that the agent's marks outlive the agent; it repeats them sooner.
local MARK_SECONDS = 10

local function is_upstream(key)
  local first = key:sub(1, 1)
  return first ~= "#" and key:sub(1, 2) ~= "u:"
end

local function set_upstreams(set, generation)
  for name, spec in pairs(set) do
    local ok, err = conf:safe_set("u:" .. name, spec) -- never evicts another
    if ok then ok, err = conf:safe_set(name, generation) end
    if not ok then return name .. ": " .. err end
  end
end

local function remove(name)
  conf:delete(name)
  conf:delete("u:" .. name)
end

-- set_marks replaces the agent's marks; those of requests stay.
local function set_marks(list, t)
  local want, changed = {}, false
  for _, id in ipairs(list) do
    want[id] = true
    local known = marks:get(id)
    marks:set(id, t + MARK_SECONDS, MARK_SECONDS, 1)
    changed = changed or not known or known <= t
  end
  for _, id in ipairs(marks:get_keys(0)) do
    local _, by_agent = marks:get(id)
    if by_agent == 1 and not want[id] then
      marks:delete(id)
      changed = true
    end
  end
  -- Workers keep the old end of a mark until the version changes, so a
  -- repeated mark counts as a change too.
  if changed or #list > 0 then marks:incr("#version", 1, 0) end
end

-- apply takes a change on top of generation `base`, or a whole table (`full`,
-- where `keep` names all upstreams). One upstream changes as a whole;
-- `#generation` is written last, so who reads it sees everything of it.
local function apply(d)
  local have = conf:get("#generation") or 0
  if not d.full and d.base ~= have then return 409, "the table has generation " .. have end
  local err = set_upstreams(d.set or {}, d.generation)
  if err then return 507, err end
  for _, name in ipairs(d.delete or {}) do remove(name) end
  if type(d.keep) == "table" then
    local keep = {}
    for _, name in ipairs(d.keep) do keep[name] = true end
    for _, key in ipairs(conf:get_keys(0)) do
      if is_upstream(key) and not keep[key] then remove(key) end
    end
  end
  if type(d.down) == "table" then set_marks(d.down, ngx.now()) end
  if d.config then conf:set("#config", d.config) end
  conf:set("#generation", d.generation)
  return 200, "generation " .. d.generation
end

-- load_snapshot serves the last known table until the agent speaks. A reload
-- keeps shared memory, and with it a newer table.
function _M.load_snapshot(path)
  if conf:get("#generation") then return end
  local f = io.open(path)
  if not f then return end
  local d = cjson.decode(f:read("*a") or "")
  f:close()
  if not d then return end
  d.full = true
  local code, message = apply(d)
  if code ~= 200 then ngx.log(ngx.ERR, "load ", path, ": ", message) end
end

local function say(code, body)
  ngx.status = code
  ngx.header["Content-Type"] = "application/json"
  ngx.say(cjson.encode(body))
end

local function take(change)
  ngx.req.read_body()
  local d, err = cjson.decode(ngx.req.get_body_data() or "")
  if not d then return say(400, { message = err or "no body" }) end
  local code, message = change(d)
  return say(code, { message = message })
end

local function push() return take(apply) end

local function push_certificates() return take(certificates.apply) end

local function list_certificates() return say(200, certificates.versions()) end

local function status()
  return say(200, {
    epoch = require("gantry").epoch,
    layout = ngx.var.gantry_layout,
    generation = conf:get("#generation") or 0,
    config = conf:get("#config") or 0,
    free_bytes = conf:free_space(),
    certificates = certificates.digest(),
    worker = ngx.worker.pid(),
  })
end

local function count()
  local all = {}
  for _, key in ipairs(counters:get_keys(0)) do all[key] = counters:get(key) end
  return say(200, all)
end

local function drain()
  conf:set("#drain", conf:get("#epoch"), DRAIN_SECONDS)
  return say(200, { message = "draining" })
end

local function undrain()
  conf:delete("#drain")
  return say(200, { message = "not draining" })
end

local ROUTES = {
  ["POST /v1/table"] = push,
  ["POST /v1/certificates"] = push_certificates,
  ["GET /v1/certificates"] = list_certificates,
  ["GET /v1/status"] = status,
  ["GET /v1/counters"] = count,
  ["POST /v1/drain"] = drain,
  ["DELETE /v1/drain"] = undrain,
}

function _M.serve()
  local f = ROUTES[ngx.req.get_method() .. " " .. ngx.var.uri]
  if not f then return say(404, { message = "no such method" }) end
  return f()
end

return _M

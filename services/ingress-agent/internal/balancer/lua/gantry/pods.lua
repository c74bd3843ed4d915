-- gantry.pods: the table of pods and the choice among them.
--
-- Shared memory is the truth: key `<upstream>` is a version, `u:<upstream>`
-- the table as JSON. A worker reads one number per request and decodes only
-- the upstream that changed. Marks of pods that do not answer are shared the
-- same way: `#version` counts changes, `<host:port>` holds until when.
local cjson = require "cjson.safe"
local conf, marks = ngx.shared.gantry_endpoints, ngx.shared.gantry_marks
local random, huge = math.random, math.huge

local _M = {}

-- How long a pod is skipped after a failure that this node saw itself.
local PASSIVE_SECONDS = 5

local cache = {}               -- upstream name -> decoded table
local down, down_version = {}, 0 -- host:port -> time until which it is skipped

local function read_marks()
  local version = marks:get("#version") or 0
  if version == down_version then return false end
  down_version, down = version, {}
  for _, id in ipairs(marks:get_keys(0)) do
    if id ~= "#version" then down[id] = marks:get(id) end
  end
  return true
end

-- mark skips a pod for a while, in all workers.
function _M.mark(id, t)
  local until_ = t + PASSIVE_SECONDS
  marks:set(id, until_, PASSIVE_SECONDS * 4)
  marks:incr("#version", 1, 0)
end

-- unmark: the pod has answered.
function _M.unmark(id)
  if not down[id] then return end
  marks:delete(id)
  marks:incr("#version", 1, 0)
end

-- count says how many pods of a cluster are not marked, and notes when the
-- next mark ends.
local function count(u, c, t)
  local up = 0
  for _, p in ipairs(c.pods) do
    local d = down[p.id]
    if not d or d <= t then up = up + 1 elseif d < u.weigh_at then u.weigh_at = d end
  end
  return up
end

-- weigh sets each cluster's weight: its percentage times its pods that are
-- not marked, so that the load of each pod is even; or times its share, where
-- there are shares that lead to any pod.
local function weigh(u, t)
  u.marks, u.weigh_at, u.base = down_version, huge, 0
  local led = 0
  for _, c in ipairs(u.clusters) do
    c.up = count(u, c, t)
    c.led = c.up > 0 and c.percent * (c.share or 0) or 0
    c.all = c.percent * #c.pods
    led, u.base = led + c.led, u.base + c.all
  end
  for _, c in ipairs(u.clusters) do
    local weight = led > 0 and c.led or c.percent * c.up
    if weight ~= c.weight then c.weight, c.turn = weight, random() * weight end
  end
end

local function keys(upstream, cluster)
  local prefix = upstream .. "|" .. cluster .. "|"
  local k = { lost = prefix .. "lost", bucket = prefix .. "le", sum = prefix .. "sum" }
  for i = 1, 5 do k[i] = prefix .. i .. "xx" end
  return k
end

-- decode keeps the pods' counts in flight over a change.
local function decode(name, version)
  local spec = cjson.decode(conf:get("u:" .. name) or "")
  if not spec then return nil end
  local old = cache[name] and cache[name].by_id or {}
  local u = { name = name, version = version, hold = spec.hold, canaries = spec.canaries, n = 0, clusters = {}, by_id = {} }
  for i, c in ipairs(spec.clusters or {}) do
    local cluster = { name = c.name, percent = c.percent, share = c.share, turn = 0, pods = {}, keys = keys(name, c.name) }
    for j, host in ipairs(c.pods or {}) do
      local id = host .. ":" .. c.port
      local p = old[id] or { id = id, host = host, port = c.port, inflight = 0, lost = 0 }
      p.cluster = cluster
      cluster.pods[j], u.by_id[id] = p, p
      u.n = u.n + 1
    end
    cluster.next = random(0, #cluster.pods)
    u.clusters[i] = cluster
  end
  return u
end

-- get gives an upstream as it is now; nil when the agent never named it.
function _M.get(name, t)
  local version = conf:get(name)
  local u = cache[name]
  if not version then
    cache[name] = nil
    return nil
  end
  if not u or u.version ~= version then
    u = decode(name, version)
    cache[name] = u
    if not u then return nil end
  end
  read_marks()
  if u.marks ~= down_version or t >= u.weigh_at then weigh(u, t) end
  return u
end

-- turn is smooth weighted round robin over the clusters not in `out`.
local function turn(u, field, out)
  local best, total = nil, 0
  for _, c in ipairs(u.clusters) do
    local w = c[field]
    if w > 0 and not out[c] then
      c.turn = c.turn + w
      total = total + w
      if not best or c.turn > best.turn then best = c end
    end
  end
  if best then best.turn = best.turn - total end
  return best
end

-- least gives the pod with the fewest requests in flight in this worker;
-- ties go round.
local function least(c, skip, t, any)
  local list, n = c.pods, #c.pods
  local best
  for i = 0, n - 1 do
    local p = list[(c.next + i) % n + 1]
    local d = down[p.id]
    local free = (any or not d or d <= t) and not (skip and skip[p])
    if free and (not best or p.inflight < best.inflight) then best = p end
  end
  c.next = (c.next + 1) % (n > 0 and n or 1)
  return best
end

-- among tries the clusters in their turn until one has a pod.
local function among(u, field, skip, avoid, t, any)
  local out = {}
  if avoid then out[avoid] = true end
  for _ = 1, #u.clusters do
    local c = turn(u, field, out)
    if not c then return nil end
    local p = least(c, skip, t, any)
    if p then return p end
    out[c] = true
  end
end

-- elsewhere is where a request goes on that has failed in `avoid`: to another
-- cluster, after a second failure also to one that no share leads to.
local function elsewhere(u, skip, avoid, t)
  local p = among(u, "weight", skip, avoid, t, false)
  if p or not next(skip, next(skip)) then return p end
  return among(u, "all", skip, avoid, t, false)
end

-- pick chooses a pod: first one that is not marked, in another cluster than
-- `avoid` if there is one; when all are marked, any.
function _M.pick(u, skip, avoid, t)
  local p = (avoid and elsewhere(u, skip, avoid, t)) or among(u, "weight", skip, nil, t, false)
    or among(u, "all", skip, nil, t, true)
  if p and down[p.id] and down[p.id] <= t then
    -- Its time is over: this request tries it, the others wait for the result.
    down[p.id] = t + PASSIVE_SECONDS
    _M.mark(p.id, t)
  end
  return p
end

-- any_up tells whether a share leads to a pod that is not marked.
function _M.any_up(u)
  for _, c in ipairs(u.clusters) do
    if c.weight > 0 then return true end
  end
  return false
end

-- token names a pod to clients without telling its address; it is the same on
-- every node.
function _M.token(u, p)
  p.token = p.token or ngx.md5(u.name .. "|" .. p.id):sub(1, 16)
  return p.token
end

-- kept gives the pod that a client's token names while it is led to; nil else.
function _M.kept(u, token, t)
  if not u.by_token then
    u.by_token = {}
    for _, p in pairs(u.by_id) do u.by_token[_M.token(u, p)] = p end
  end
  local p = u.by_token[token]
  if not p or p.cluster.weight == 0 then return nil end
  local d = down[p.id]
  return (not d or d <= t) and p or nil
end

return _M

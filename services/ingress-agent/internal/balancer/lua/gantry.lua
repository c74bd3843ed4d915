-- gantry: what Nginx does with a request in each phase. The agent keeps the
-- table of pods current over a Unix socket; no reload is involved.
local balancer = require "ngx.balancer"
local pods = require "gantry.pods"
local control = require "gantry.control"
local certificates = require "gantry.certificates"
local hold = require "gantry.hold"
local canary = require "gantry.canary"

local shared = ngx.shared
local conf, counters = shared.gantry_endpoints, shared.gantry_counters
local now, min, floor = ngx.now, math.min, math.floor

local _M = {}

-- Attempts beside the first; more would hide a dead app behind a long wait.
local MORE_TRIES = 4
-- Answers lost in a row, on connections that were made, until a pod is skipped.
local LOST_LIMIT = 3
-- Upper bounds of the latency histogram in seconds.
local BOUNDS = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10 }

-- start runs in the master at each start and reload, before workers exist.
function _M.start()
  _M.epoch = conf:incr("#epoch", 1, 0)
  -- Loaded now: a worker may outlive the files.
  require "gantry.cors"
  require "gantry.sticky"
  control.load_snapshot(ngx.config.prefix() .. "endpoints.json")
  certificates.load(ngx.config.prefix() .. "certificates.json")
end

local function refuse(name, reason, sentence)
  counters:incr(name .. "||none", 1, 0)
  ngx.status = 503
  ngx.header["Content-Type"] = "text/plain"
  ngx.header["X-Gantry-Reason"] = reason
  ngx.header["Retry-After"] = "1"
  ngx.say(sentence)
  return ngx.exit(ngx.HTTP_OK) -- the status is sent; this ends the request
end

-- access finds the upstream's table; here a refusal has a reason (inside the
-- balancer phase it would become a bare 500).
function _M.access()
  local name = ngx.var.gantry_upstream
  if not name or name == "" then return end
  local ctx, t = ngx.ctx, now()
  local u = pods.get(name, t)
  if u and u.canaries then
    u = canary.choose(u, ngx.var.gantry_route, ctx.token, t)
    name = u.name
  end
  if u and u.hold then
    counters:incr(name .. "||started", 1, 0)
    ctx.counted = name
    if u.n == 0 then u = hold.wait(u) end
  end
  if not u then
    return refuse(name, "ENDPOINTS_UNKNOWN", "the endpoints of " .. name .. " have not been seen yet")
  elseif u.n == 0 then
    return refuse(name, "NO_ENDPOINTS", name .. " has no ready pod in any cluster")
  elseif u.base == 0 then
    return refuse(name, "NO_TRAFFIC", "every cluster that runs " .. name .. " is out of rotation")
  end
  ctx.upstream = u
end

-- connected tells from Nginx's own list of attempts whether the one at the
-- end of `times` got a connection; `current` skips the attempt being prepared.
local function connected(times, current)
  if not times then return false end
  if current then times = times:match("^(.-) ?[,:] [^ ]+$") or times end
  return times:match("([^ ]+)$") ~= "-"
end

-- lost books an attempt without an answer.
local function lost(u, p, reached)
  p.inflight = p.inflight - 1
  counters:incr(p.cluster.keys.lost, 1, 0)
  p.lost = p.lost + 1
  if not reached or p.lost >= LOST_LIMIT then
    p.lost = 0
    pods.mark(p.id, now())
  end
end

function _M.balance()
  local ctx = ngx.ctx
  local u, last, t = ctx.upstream, ctx.pod, now()
  if not last then
    local more = min(u.n - 1, MORE_TRIES)
    if more > 0 then balancer.set_more_tries(more) end
  else
    ctx.pod = nil
    lost(u, last, connected(ngx.var.upstream_connect_time, true))
    ctx.skip = ctx.skip or {}
    ctx.skip[last] = true
  end
  -- A retry goes to another cluster first: the whole site may be gone.
  local p = not last and ctx.token and pods.kept(u, ctx.token, t)
    or pods.pick(u, ctx.skip, last and last.cluster, t)
  if not p then return ngx.exit(502) end
  ctx.pod = p
  p.inflight = p.inflight + 1
  local ok, err = balancer.set_current_peer(p.host, p.port)
  if not ok then
    ngx.log(ngx.ERR, "set the pod of ", u.name, ": ", err)
    return ngx.exit(500)
  end
end

-- header asks clients to reconnect while a reload is about to come. HTTP/2 has
-- no such header: Nginx itself tells those clients.
function _M.header()
  local drain = conf:get("#drain")
  if drain and drain >= _M.epoch and ngx.req.http_version() < 2 then ngx.header["Connection"] = "close" end
end

local function observe(c)
  local seconds = tonumber(ngx.var.request_time) or 0
  local i = 1
  while BOUNDS[i] and seconds > BOUNDS[i] do i = i + 1 end
  counters:incr(c.keys.bucket .. i, 1, 0)
  counters:incr(c.keys.sum, seconds, 0)
end

function _M.log()
  local ctx = ngx.ctx
  if ctx.counted then
    hold.release(ctx)
    counters:incr(ctx.counted .. "||ended", 1, 0)
  end
  local p = ctx.pod
  if not p then return end
  local status = ngx.status
  local answer = ngx.var.upstream_header_time
  if (status == 502 or status == 504) and (not answer or answer:match("([^ ]+)$") == "-") then
    return lost(ctx.upstream, p, connected(ngx.var.upstream_connect_time, false))
  end
  p.inflight = p.inflight - 1
  p.lost = 0
  if status ~= 499 then pods.unmark(p.id) end
  counters:incr(p.cluster.keys[floor(status / 100)] or p.cluster.keys.lost, 1, 0)
  observe(p.cluster)
end

return _M

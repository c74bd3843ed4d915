-- gantry.hold: a request for an app that has been scaled to zero waits for its
-- first pod instead of failing.
local pods = require "gantry.pods"
local counters = ngx.shared.gantry_counters
local now, ceil = ngx.now, math.ceil

local _M = {}

-- Seconds between two looks at the table.
local STEP = 0.05
-- Requests that the node holds for one app, an equal part in each worker;
-- more are refused.
local MOST = 1000
-- Seconds between two reports of the number held, and that one outlives the
-- worker.
local TELL, KEPT = 0.5, 2

local held, told = {}, {}

-- tell reports under the pid: over a reload two workers have the same id.
local function tell(name, change)
  held[name] = (held[name] or 0) + change
  if change == 0 and now() - (told[name] or 0) < TELL then return end
  told[name] = now()
  counters:set(name .. "||held" .. ngx.worker.pid(), held[name], KEPT)
end

-- release counts the request of ctx as held no longer, once. A wait that Nginx
-- ends does not come back to it; the log phase calls this then.
function _M.release(ctx)
  local name = ctx.held
  if not name then return end
  ctx.held = nil
  tell(name, -1)
end

-- wait gives the upstream when it has a pod, or as it is when its time is over.
function _M.wait(u)
  local name, deadline, ctx = u.name, now() + u.hold, ngx.ctx
  if (held[name] or 0) >= ceil(MOST / ngx.worker.count()) then return u end
  ctx.held = name
  tell(name, 1)
  repeat
    ngx.sleep(STEP)
    tell(name, 0)
    u = pods.get(name, now())
  until not u or u.n > 0 or now() >= deadline
  _M.release(ctx)
  return u
end

return _M

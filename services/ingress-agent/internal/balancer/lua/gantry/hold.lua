-- gantry.hold: a request for an app that has been scaled to zero waits for its
-- first pod instead of failing.
local pods = require "gantry.pods"
local counters = ngx.shared.gantry_counters
local now = ngx.now

local _M = {}

-- Seconds between two looks at the table.
local STEP = 0.05
-- Requests that one worker holds for one app; more are refused.
local MOST = 1000
-- Seconds between two reports of the number held, and that one outlives the
-- worker.
local TELL, KEPT = 0.5, 2

local held, told = {}, {}

local function tell(name, change)
  held[name] = (held[name] or 0) + change
  if change == 0 and now() - (told[name] or 0) < TELL then return end
  told[name] = now()
  counters:set(name .. "||held" .. ngx.worker.id(), held[name], KEPT)
end

-- wait gives the upstream when it has a pod, or as it is when its time is over.
function _M.wait(u)
  local name, deadline = u.name, now() + u.hold
  if (held[name] or 0) >= MOST then return u end
  tell(name, 1)
  repeat
    ngx.sleep(STEP)
    tell(name, 0)
    u = pods.get(name, now())
  until not u or u.n > 0 or now() >= deadline
  tell(name, -1)
  return u
end

return _M

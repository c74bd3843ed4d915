-- gantry.canary: which of a route's requests go to another app.
local pods = require "gantry.pods"
local random = math.random

local _M = {}

-- ready gives the canary's upstream while a pod of it answers; the route's own
-- app takes the requests of a canary that has none.
local function ready(rule, t)
  local u = pods.get(rule.to, t)
  return u and pods.any_up(u) and u
end

-- asked is the first canary whose header or cookie the request has.
local function asked(rules)
  for _, rule in ipairs(rules) do
    if rule.variable and ngx.var[rule.variable] == rule.value then return rule end
  end
end

-- kept is where a client's cookie keeps it, so that no dice move it.
local function kept(u, rules, token, t)
  local rest = 100
  for _, rule in ipairs(rules) do
    local percent = rule.percent or 0
    rest = rest - percent
    local canary = percent > 0 and ready(rule, t)
    if canary and pods.kept(canary, token, t) then return canary end
  end
  return rest > 0 and pods.kept(u, token, t) and u
end

local function drawn(rules)
  local dice = random(100)
  for _, rule in ipairs(rules) do
    dice = dice - (rule.percent or 0)
    if dice <= 0 and rule.percent then return rule end
  end
end

-- choose gives the upstream of a request of the route that leads to u.
function _M.choose(u, route, token, t)
  local rules = u.canaries[route]
  if not rules then return u end
  local rule = asked(rules)
  if not rule then
    local stays = token and kept(u, rules, token, t)
    if stays then return stays end
    rule = drawn(rules)
  end
  return rule and ready(rule, t) or u
end

return _M

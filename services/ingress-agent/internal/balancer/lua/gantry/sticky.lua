-- gantry.sticky: a cookie keeps a client at the pod that answered it first,
-- for as long as that pod is led to.
local pods = require "gantry.pods"
local add_header = require("ngx.resp").add_header

local _M = {}

-- access notes what the client brings; the balancer honours it.
function _M.access()
  ngx.ctx.token = ngx.var["cookie_" .. ngx.var.gantry_sticky]
end

-- header names the pod that answered to a client that is not kept there yet.
function _M.header()
  local ctx = ngx.ctx
  local p = ctx.pod
  if not p or ngx.status == 502 or ngx.status == 504 then return end
  local token = pods.token(ctx.upstream, p)
  if token == ctx.token then return end
  local cookie = ngx.var.gantry_sticky .. "=" .. token .. "; " .. ngx.var.gantry_sticky_attributes
  if ngx.var.scheme == "https" then cookie = cookie .. "; Secure" end
  add_header("Set-Cookie", cookie)
end

return _M

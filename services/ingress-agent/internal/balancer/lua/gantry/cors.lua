-- gantry.cors: which pages of other origins may read the answers of a
-- location. The location's variables say who; the app is not asked.
local add_header = require("ngx.resp").add_header

local _M = {}

local sets = {} -- list of origins -> set of them

local function set_of(list)
  local set = sets[list]
  if not set then
    set = {}
    for origin in list:gmatch("%S+") do set[origin] = true end
    sets[list] = set
  end
  return set
end

-- allowed gives the origin to answer with; nil: the page may not read it.
local function allowed(origin)
  local set = set_of(ngx.var.gantry_cors_origins)
  if set["*"] then return "*" end
  return set[origin] and origin
end

local function is_preflight()
  return ngx.req.get_method() == "OPTIONS" and ngx.var.http_origin and ngx.var.http_access_control_request_method
end

-- access answers a browser that asks before it sends a request.
function _M.access()
  if not is_preflight() then return end
  local origin = ngx.var.http_origin
  if allowed(origin) then
    ngx.ctx.preflight = true
    return ngx.exit(ngx.HTTP_NO_CONTENT)
  end
  ngx.status = ngx.HTTP_FORBIDDEN
  ngx.header["Content-Type"] = "text/plain"
  ngx.header["X-Gantry-Reason"] = "ORIGIN_NOT_ALLOWED"
  ngx.say("the route's cors.origins do not name this page's origin")
  return ngx.exit(ngx.HTTP_OK) -- the status is sent; this ends the request
end

function _M.header()
  local origin = ngx.var.http_origin
  local answer = origin and allowed(origin)
  -- A cache must not give one origin's answer to another.
  if ngx.var.gantry_cors_origins ~= "*" then add_header("Vary", "Origin") end
  if not answer then return end
  local h = ngx.header
  h["Access-Control-Allow-Origin"] = answer
  if ngx.var.gantry_cors_credentials == "true" then h["Access-Control-Allow-Credentials"] = "true" end
  if not ngx.ctx.preflight then return end
  h["Access-Control-Allow-Methods"] = ngx.var.gantry_cors_methods
  local headers = ngx.var.gantry_cors_headers
  if headers ~= "" then h["Access-Control-Allow-Headers"] = headers end
  h["Access-Control-Max-Age"] = ngx.var.gantry_cors_max_age
end

return _M

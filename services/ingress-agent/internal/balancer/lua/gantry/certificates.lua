-- gantry.certificates: the certificates of hosts, from the agent over its
-- socket. Shared memory holds for each host a version, and under `c:<host>` the
-- PEM of chain and key as JSON; a worker parses a pair when its version changes.
-- A renewed certificate counts from the next handshake, without a reload.
local ssl = require "ngx.ssl"
local cjson = require "cjson.safe"
local store = ngx.shared.gantry_certificates

local _M = {}

local parsed = {} -- host -> { version, chain, key }

local function parse(host, version)
  local pair = cjson.decode(store:get("c:" .. host) or "")
  if not pair then return nil, "not in memory" end
  local chain, err = ssl.parse_pem_cert(pair.chain)
  if not chain then return nil, err end
  local key
  key, err = ssl.parse_pem_priv_key(pair.key)
  if not key then return nil, err end
  return { version = version, chain = chain, key = key }
end

local function get(host)
  local version, have = store:get(host), parsed[host]
  if have and have.version == version then return have end
  parsed[host] = nil
  if not version then return nil, "the agent has not sent it" end
  local c, err = parse(host, version)
  parsed[host] = c
  return c, err
end

-- serve runs in each handshake that is not resumed; an error ends it.
function _M.serve()
  local host = (ssl.server_name() or ""):lower():gsub("%.$", "")
  local c, err = get(host)
  local ok = c
  if ok then ok, err = ssl.set_cert(c.chain) end
  if ok then ok, err = ssl.set_priv_key(c.key) end
  if not ok then
    ngx.log(ngx.ERR, "the certificate of ", host, " cannot be used: ", err)
    return ngx.exit(ngx.ERROR)
  end
end

-- apply takes the pairs in `set` and forgets those in `delete`. `digest` names
-- all that is held then.
function _M.apply(d)
  store:delete("#digest")
  for host, pair in pairs(d.set or {}) do
    local ok, err = store:safe_set("c:" .. host, cjson.encode(pair)) -- never evicts another
    if ok then ok, err = store:safe_set(host, pair.version) end
    if not ok then return 507, host .. ": " .. err end
  end
  for _, host in ipairs(d.delete or {}) do
    store:delete(host)
    store:delete("c:" .. host)
  end
  if d.digest then store:set("#digest", d.digest) end
  return 200, "certificates " .. (d.digest or "in part")
end

-- digest names what is held; empty: nothing, or it is not known what.
function _M.digest()
  return store:get("#digest") or ""
end

-- versions gives the version of each host.
function _M.versions()
  local all = {}
  for _, key in ipairs(store:get_keys(0)) do
    if key:sub(1, 2) ~= "c:" and key ~= "#digest" then all[key] = store:get(key) end
  end
  return all
end

-- load takes what the agent left on disk until it speaks. A reload keeps shared
-- memory, and with it newer certificates.
function _M.load(path)
  if store:get("#digest") then return end
  local f = io.open(path)
  if not f then return end
  local d = cjson.decode(f:read("*a") or "")
  f:close()
  if not d then return end
  local code, message = _M.apply(d)
  if code ~= 200 then ngx.log(ngx.ERR, "load ", path, ": ", message) end
end

return _M

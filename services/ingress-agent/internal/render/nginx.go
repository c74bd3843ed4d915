package render

import (
	"path"
	"slices"

	"gantry.dev/services/ingress-agent/internal/conftext"
)

// Variables that join a location to the balancer.
const (
	routeVar    = "$gantry_route"
	upstreamVar = "$gantry_upstream"
	layoutVar   = "$gantry_layout"
)

// Name of the one upstream block; the balancer picks the pod.
const podsUpstream = "gantry_pods"

// mainOf is nginx.conf: what all hosts share. A directive is here, and not in
// the hosts, so that a host's file says only what is its own.
func mainOf(m Model, env Env, layout string) []conftext.Node {
	main := []conftext.Node{
		conftext.Line("daemon", "on"),
		conftext.Line("pid", path.Join(env.StateDir, NginxPid)),
		conftext.Line("error_log", path.Join(env.StateDir, NginxLog), "warn"),
		conftext.Line("load_module", path.Join(env.ModulesDir, "ndk_http_module.so")),
		conftext.Line("load_module", path.Join(env.ModulesDir, "ngx_http_lua_module.so")),
		// Never changed by a reload: the number of listeners would change.
		conftext.Line("worker_processes", "auto"),
		conftext.Line("worker_rlimit_nofile", "65536"),
		// Bounds old workers; WebSockets keep them (rule I5).
		conftext.Line("worker_shutdown_timeout", "1h"),
	}
	if env.WorkerUser != "" {
		main = append(main, conftext.Line("user", env.WorkerUser, "nogroup"))
	}
	return append(main,
		conftext.BlockOf("events", nil, conftext.Line("worker_connections", "16384")),
		conftext.BlockOf("http", nil, httpOf(m, env, layout)...),
	)
}

func httpOf(m Model, env Env, layout string) []conftext.Node {
	var all []conftext.Node
	for _, part := range [][]conftext.Node{clientSide(env), proxySide(env), balancerSide(env), grpcSide(m, env), tlsSide(m, env)} {
		all = append(all, part...)
	}
	all = append(all, controlServer(m, env, layout), defaultServer(env))
	return append(append(all, refusingServer(m, env)...), conftext.Line("include", hostsDir+"/*.conf"))
}

func clientSide(env Env) []conftext.Node {
	temp := func(name string) string { return path.Join(env.TempDir, name) }
	return []conftext.Node{
		conftext.Line("access_log", "off"),
		conftext.Line("server_tokens", "off"),
		conftext.Line("default_type", "text/plain"),
		// Longer than common clients keep idle connections, so that the
		// client closes first and no request meets a closing connection.
		conftext.Line("keepalive_timeout", "300s"),
		conftext.Line("keepalive_requests", "1000000"),
		conftext.Line("client_max_body_size", "100m"),
		conftext.Line("client_body_buffer_size", "128k"),
		conftext.Line("client_body_temp_path", temp("body")),
		conftext.Line("proxy_temp_path", temp("proxy")),
		conftext.Line("fastcgi_temp_path", temp("fastcgi")),
		conftext.Line("uwsgi_temp_path", temp("uwsgi")),
		conftext.Line("scgi_temp_path", temp("scgi")),
		conftext.Line("server_names_hash_max_size", "131072"),
		conftext.Line("server_names_hash_bucket_size", "512"),
		conftext.Line("variables_hash_max_size", "4096"),
		conftext.Line("limit_req_status", "429"),
		// Where a host turns gzip on; text/html always counts.
		conftext.Line("gzip_types", "text/plain", "text/css", "text/xml", "application/json", "application/javascript", "text/javascript",
			"application/xml", "image/svg+xml"),
		conftext.Line("gzip_min_length", "1000"),
		conftext.Line("gzip_proxied", "any"),
		conftext.Line("gzip_vary", "on"),
		conftext.BlockOf("map", []conftext.Arg{conftext.Expr("$http_upgrade"), conftext.Expr("$gantry_connection")},
			conftext.Line("default", "upgrade"), conftext.Line("", "")),
	}
}

// forwarded are the headers that every app gets.
func forwarded() []conftext.Node {
	header := func(name, value string) conftext.Node {
		return conftext.LineOf("proxy_set_header", conftext.Text(name), conftext.Expr(value))
	}
	return []conftext.Node{
		header("Host", "$host"),
		header("Connection", "$gantry_connection"),
		header("Upgrade", "$http_upgrade"),
		header("X-Real-IP", "$remote_addr"),
		// Set, not appended: what a client claims is not believed.
		header("X-Forwarded-For", "$remote_addr"),
		header("X-Forwarded-Proto", "$scheme"),
		header("X-Forwarded-Host", "$host"),
		header("X-Request-Id", "$request_id"),
	}
}

func proxySide(Env) []conftext.Node {
	lines := append([]conftext.Node{conftext.Line("proxy_http_version", "1.1")}, forwarded()...)
	return append(lines,
		// A vanished node costs one short wait; connecting is all that is
		// repeated for a request that is not idempotent.
		conftext.Line("proxy_connect_timeout", "500ms"),
		conftext.Line("proxy_next_upstream", "error", "timeout"),
		conftext.Line("proxy_next_upstream_timeout", "10s"),
		conftext.Line("proxy_read_timeout", "300s"),
		conftext.Line("proxy_send_timeout", "60s"),
		conftext.Line("proxy_max_temp_file_size", "0"),
		// For the longest header names that rules may set.
		conftext.Line("proxy_headers_hash_bucket_size", "128"),
		conftext.Line("proxy_socket_keepalive", "on"),
	)
}

func balancerSide(env Env) []conftext.Node {
	return []conftext.Node{
		conftext.Line("lua_package_path", path.Join(env.Dir, luaDir)+"/?.lua;;"),
		// Sizes are fixed: a changed size would empty the memory at a reload.
		conftext.Line("lua_shared_dict", "gantry_endpoints", "32m"),
		conftext.Line("lua_shared_dict", "gantry_marks", "4m"),
		conftext.Line("lua_shared_dict", "gantry_counters", "16m"),
		conftext.Line("lua_shared_dict", "gantry_certificates", "128m"),
		conftext.LuaOf("init_by_lua_block", `require("gantry").start()`),
		conftext.LuaOf("access_by_lua_block", `require("gantry").access()`),
		conftext.LuaOf("header_filter_by_lua_block", `require("gantry").header()`),
		conftext.LuaOf("log_by_lua_block", `require("gantry").log()`),
		podsBlock(podsUpstream),
	}
}

func podsBlock(name string) conftext.Node {
	return conftext.BlockOf("upstream", []conftext.Arg{conftext.Text(name)},
		conftext.Line("server", "0.0.0.1"),
		conftext.LuaOf("balancer_by_lua_block", `require("gantry").balance()`),
		conftext.Line("keepalive", "1024"),
		// Below the 5 s that common servers keep idle connections, so that no
		// POST meets one that the pod is closing.
		conftext.Line("keepalive_timeout", "4s"),
		conftext.Line("keepalive_requests", "100000"),
	)
}

// controlServer answers the agent; its directory keeps others away.
func controlServer(m Model, env Env, layout string) conftext.Node {
	return conftext.BlockOf("server", nil,
		conftext.Line("listen", "unix:"+path.Join(env.StateDir, ControlSocket)),
		conftext.Line("client_max_body_size", "16m"),
		conftext.Line("client_body_buffer_size", "16m"),
		conftext.LineOf("set", conftext.Expr("$gantry_gateway"), conftext.Text(m.Gateway)),
		conftext.LineOf("set", conftext.Expr(layoutVar), conftext.Text(layout)),
		conftext.BlockOf("location", []conftext.Arg{conftext.Text("/")},
			conftext.LuaOf("access_by_lua_block", `return`),
			conftext.LuaOf("content_by_lua_block", `require("gantry.control").serve()`),
		),
	)
}

// defaultServer takes requests for hosts that have no route.
func defaultServer(env Env) conftext.Node {
	return conftext.BlockOf("server", nil,
		conftext.LineOf("listen", conftext.Int(env.HTTPPort), conftext.Text("default_server")),
		conftext.Line("server_name", "_"),
		conftext.BlockOf("location", []conftext.Arg{conftext.Text("/")},
			conftext.Line("return", "404", "no route for this host and path")),
	)
}

// hostOf is a host's file.
func hostOf(h Host, env Env) []conftext.Node {
	children := addressLines(h, env)
	for _, l := range h.Locations {
		for _, place := range places(h, l) {
			children = append(children, conftext.BlockOf("location", place, locationLines(l)...))
		}
	}
	if !h.has("/", false) {
		children = append(children, conftext.BlockOf("location", []conftext.Arg{conftext.Text("/")},
			conftext.Line("return", "404", "no route for this host and path")))
	}
	return append(zones(h), conftext.BlockOf("server", nil, children...))
}

// places are the arguments of a location's blocks. A prefix of whole segments
// takes two, because Nginx knows only prefixes of characters: "= /a", where no
// other route has that, and "/a/".
func places(h Host, l Location) [][]conftext.Arg {
	exact := []conftext.Arg{conftext.Text("="), conftext.Text(l.Path)}
	switch {
	case l.Exact:
		return [][]conftext.Arg{exact}
	case l.Path == "/":
		return [][]conftext.Arg{{conftext.Text("/")}}
	}
	below := []conftext.Arg{conftext.Text(l.Path + "/")}
	if h.has(l.Path, true) {
		return [][]conftext.Arg{below}
	}
	return [][]conftext.Arg{exact, below}
}

func (h Host) has(path string, exact bool) bool {
	return slices.ContainsFunc(h.Locations, func(l Location) bool { return l.Path == path && l.Exact == exact })
}

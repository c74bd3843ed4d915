package nginx

import "testing"

func TestVerdict(t *testing.T) {
	for output, want := range map[string]string{
		"nginx: [emerg] invalid port in \"80x\" of the \"listen\" directive in /s/generations/000002/hosts/web.example.conf:2\n": "web.example.conf",
		"2026/01/01 00:00:00 [emerg] 17#17: unknown directive \"x\" in /s/generations/000002/hosts/a.conf:3":                     "a.conf",
		"nginx: [emerg] unknown directive \"x\" in /s/generations/000002/nginx.conf:3":                                           "",
		"nginx: [warn] conflicting server name in /s/generations/000002/hosts/a.conf:3":                                          "",
		"2026/01/01 00:00:00 [emerg] 17#17: could not build proxy_headers_hash\nnginx: configuration file x test failed":         "",
		"": "",
	} {
		if got := verdict(output); got.File != want {
			t.Errorf("%q blames %q, want %q", output, got.File, want)
		}
	}
}

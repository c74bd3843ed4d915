package certificate_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"gantry.dev/services/cluster-mgr/internal/certificate"
	"gantry.dev/services/cluster-mgr/internal/certificate/certificatetest"
)

func TestRead(t *testing.T) {
	t.Parallel()
	good, other := certificatetest.Secret(t, time.Hour, "web.test"), certificatetest.Secret(t, time.Hour, "other.test")
	with := func(chain, key []byte) map[string][]byte {
		return map[string][]byte{"tls.crt": chain, "tls.key": key}
	}
	tests := map[string]struct {
		data map[string][]byte
		says string
	}{
		"good":               {good, ""},
		"nothing":            {nil, `no key "tls.crt"`},
		"no key":             {with(good["tls.crt"], nil), `no key "tls.key"`},
		"no PEM":             {with([]byte("x"), good["tls.key"]), "no certificate in PEM"},
		"key in the chain":   {with(slices.Concat(good["tls.crt"], good["tls.key"]), good["tls.key"]), "holds a PRIVATE KEY"},
		"another's key":      {with(good["tls.crt"], other["tls.key"]), "does not belong to the first certificate"},
		"no key in PEM":      {with(good["tls.crt"], good["tls.crt"]), "no private key"},
		"chain out of order": {with(slices.Concat(good["tls.crt"], other["tls.crt"]), good["tls.key"]), "did not sign"},
		"bundle":             {with(bytes.Repeat(good["tls.crt"], 11), good["tls.key"]), "holds 11 certificates"},
	}
	for name, tc := range tests {
		_, err := certificate.Read(tc.data)
		if tc.says == "" && err != nil || tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
			t.Errorf("%s: got %v, want %q", name, err, tc.says)
		}
	}
}

func TestTheChainHoldsNothingBesideCertificates(t *testing.T) {
	t.Parallel()
	data := certificatetest.Secret(t, time.Hour, "web.test")
	want := bytes.Clone(data["tls.crt"])
	data["tls.crt"] = slices.Concat([]byte("a note\n"), want, []byte("and another\n"))
	pair, err := certificate.Read(data)
	if err != nil || !bytes.Equal(pair.Chain, want) {
		t.Errorf("got %q, %v", pair.Chain, err)
	}
}

func TestServes(t *testing.T) {
	t.Parallel()
	pair, err := certificate.Read(certificatetest.Secret(t, time.Hour, "web.test", "*.shop.test"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	tests := []struct {
		host string
		at   time.Time
		says string
	}{
		{"web.test", now, ""},
		{"a.shop.test", now, ""},
		{"b.a.shop.test", now, "does not cover"},
		{"other.test", now, "does not cover"},
		{"web.test", now.Add(2 * time.Hour), "expired"},
		{"web.test", now.Add(-48 * time.Hour), "valid from"},
	}
	for _, tc := range tests {
		err := pair.Serves(tc.host, tc.at)
		if tc.says == "" && err != nil || tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
			t.Errorf("%s: got %v, want %q", tc.host, err, tc.says)
		}
	}
}

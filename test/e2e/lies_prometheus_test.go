package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// realPrometheus is where the local platform's Prometheus answers.
const realPrometheus = "http://127.0.0.1:9490"

// lie is a way to answer wrongly; without any it is the truth.
type lie struct {
	name string
	// Leaves the question without an answer.
	hang bool
	// Moves the time that is asked about.
	skew time.Duration
	// Changes the samples of an answer.
	change func([]json.RawMessage) []json.RawMessage
}

// prometheusProxy stands between cluster-mgr and Prometheus.
type prometheusProxy struct {
	url  string
	mu   sync.Mutex
	now  lie
	told map[string]int
}

// lyingPrometheus leads the questions about both sites through a proxy until
// the test ends.
func lyingPrometheus(t *testing.T) *prometheusProxy {
	t.Helper()
	upstream, err := url.Parse(realPrometheus)
	if err != nil {
		t.Fatal(err)
	}
	p := &prometheusProxy{told: map[string]int{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, upstream) }))
	p.url = server.URL
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	t.Cleanup(func() { asksPrometheus(t, realPrometheus) })
	asksPrometheus(t, p.url)
	return p
}

func asksPrometheus(t *testing.T, url string) {
	t.Helper()
	for _, site := range []string{"site-a", "site-b"} {
		must(t, "cluster", "set", site, "--prometheus", url)
	}
}

// tell begins a lie and waits until it has been told so often.
func (p *prometheusProxy) tell(t *testing.T, l lie, times int) {
	t.Helper()
	p.mu.Lock()
	p.now = l
	p.mu.Unlock()
	eventually(t, time.Minute, func() string {
		if n := p.times(l.name); n < times {
			return l.name + " was told " + strconv.Itoa(n) + " times"
		}
		return ""
	})
}

func (p *prometheusProxy) times(name string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.told[name]
}

func (p *prometheusProxy) lie() lie {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

// count counts the lies told to the autoscaler; others ask too.
func (p *prometheusProxy) count(l lie, query string) {
	if !strings.Contains(query, "container_cpu_usage") {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told[l.name]++
}

func (p *prometheusProxy) serve(w http.ResponseWriter, r *http.Request, upstream *url.URL) {
	l := p.lie()
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	form, query := r.Form, r.Form.Get("query")
	if l.hang {
		p.count(l, query)
		<-r.Context().Done()
		return
	}
	if l.skew != 0 {
		p.count(l, query)
		form.Set("time", strconv.FormatFloat(float64(time.Now().Add(l.skew).UnixMilli())/1000, 'f', 3, 64))
	}
	body := form.Encode()
	r.URL.RawQuery, r.Body, r.ContentLength = "", io.NopCloser(strings.NewReader(body)), int64(len(body))
	r.Method = http.MethodPost
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Del("Accept-Encoding")
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(upstream) },
		ModifyResponse: func(r *http.Response) error { return p.answer(r, l, query) },
	}
	proxy.ServeHTTP(w, r)
}

// answer changes the samples of a vector.
func (p *prometheusProxy) answer(r *http.Response, l lie, query string) error {
	if l.change == nil {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	var said struct {
		Status string `json:"status"`
		Data   struct {
			ResultType string            `json:"resultType"`
			Result     []json.RawMessage `json:"result"`
		} `json:"data"`
	}
	if json.Unmarshal(body, &said) == nil && said.Data.ResultType == "vector" && len(said.Data.Result) > 0 {
		said.Data.Result = l.change(said.Data.Result)
		if body, err = json.Marshal(said); err != nil {
			return err
		}
		p.count(l, query)
	}
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(string(body))), int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}

// nothing leaves no sample.
func nothing([]json.RawMessage) []json.RawMessage { return []json.RawMessage{} }

// everySecond leaves half of the samples.
func everySecond(samples []json.RawMessage) []json.RawMessage {
	var half []json.RawMessage
	for i := 0; i < len(samples); i += 2 {
		half = append(half, samples[i])
	}
	return half
}

// notNumbers makes every value NaN.
func notNumbers(samples []json.RawMessage) []json.RawMessage {
	var out []json.RawMessage
	for _, raw := range samples {
		var sample struct {
			Metric json.RawMessage `json:"metric"`
			Value  [2]any          `json:"value"`
		}
		if json.Unmarshal(raw, &sample) != nil {
			continue
		}
		sample.Value[1] = "NaN"
		changed, err := json.Marshal(sample)
		if err != nil {
			continue
		}
		out = append(out, changed)
	}
	return out
}

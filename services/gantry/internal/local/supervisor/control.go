package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"gantry.dev/pkg/fault"
)

// answerLimit is how long the supervisor may take for one request: killing a
// site waits for the kernel.
const answerLimit = 30 * time.Second

// Report returns the present state.
func (s *Supervisor) Report() Report {
	s.mu.Lock()
	r := Report{Running: true, Ready: true, Since: s.since, Stopping: s.stopping}
	s.mu.Unlock()
	r.Processes = s.board.snapshot()
	for i, p := range r.Processes {
		if p.PID != 0 {
			r.Processes[i].MemoryBytes = residentBytes(p.PID)
		}
	}
	for _, name := range s.config.Order {
		if g, any := s.group(name, r.Processes); any {
			r.Groups = append(r.Groups, g)
			r.MemoryBytes += g.MemoryBytes
			r.Ready = r.Ready && (g.Ready || g.Down)
		}
	}
	r.MemoryBytes += residentBytes(os.Getpid())
	return r
}

func (s *Supervisor) group(name string, processes []Process) (g Group, any bool) {
	g = Group{Name: name, Down: true, Ready: true}
	own := map[int]bool{}
	for _, p := range processes {
		if p.Group != name {
			continue
		}
		any = true
		own[p.PID] = true
		g.Down = g.Down && p.State == Down
		g.Ready = g.Ready && p.State == Ready
		g.MemoryBytes += p.MemoryBytes
	}
	if s.config.Groups == nil {
		return g, any
	}
	for _, pid := range s.config.Groups.PIDs(name) {
		if !own[pid] {
			g.Others++
			g.MemoryBytes += residentBytes(pid)
		}
	}
	return g, any
}

// Serve answers requests on a Unix socket until ctx ends; stop is called when
// somebody asks to end everything.
func (s *Supervisor) Serve(ctx context.Context, socket string, stop func()) error {
	_ = os.Remove(socket)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", socket, err)
	}
	if err := os.Chmod(socket, 0o600); err != nil {
		return errors.Join(err, listener.Close())
	}
	server := &http.Server{Handler: s.handler(stop), ReadHeaderTimeout: answerLimit}
	closed := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer closed()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", socket, err)
	}
	return nil
}

func (s *Supervisor) handler(stop func()) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.Report())
	})
	mux.HandleFunc("POST /stop", func(http.ResponseWriter, *http.Request) { stop() })
	mux.HandleFunc("POST /kill/{target}", action(s.Kill))
	mux.HandleFunc("POST /start/{target}", action(s.Start))
	return mux
}

func action(do func(context.Context, string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := do(r.Context(), r.PathValue("target")); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
		}
	}
}

// Client speaks to a supervisor.
type Client struct{ http *http.Client }

// Dial returns a client of the supervisor at a Unix socket; nothing is sent yet.
func Dial(socket string) Client {
	var dialer net.Dialer
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		},
	}
	return Client{http: &http.Client{Transport: transport, Timeout: answerLimit}}
}

// Status returns the state; KindUnavailable NOT_RUNNING means that nobody answers.
func (c Client) Status(ctx context.Context) (Report, error) {
	body, err := c.call(ctx, http.MethodGet, "/status")
	if err != nil {
		return Report{}, err
	}
	var r Report
	if err := json.Unmarshal(body, &r); err != nil {
		return r, fault.Internal("BAD_ANSWER", "the supervisor's answer cannot be read: %w", err)
	}
	return r, nil
}

// Stop asks to end everything; it returns at once.
func (c Client) Stop(ctx context.Context) error {
	_, err := c.call(ctx, http.MethodPost, "/stop")
	return err
}

// Kill ends a group or process with SIGKILL and returns when it is gone.
func (c Client) Kill(ctx context.Context, target string) error {
	_, err := c.call(ctx, http.MethodPost, "/kill/"+url.PathEscape(target))
	return err
}

// Start brings a killed group or process back; it returns at once.
func (c Client) Start(ctx context.Context, target string) error {
	_, err := c.call(ctx, http.MethodPost, "/start/"+url.PathEscape(target))
	return err
}

func (c Client) call(ctx context.Context, method, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://supervisor"+path, nil)
	if err != nil {
		return nil, fault.Internal("BAD_REQUEST", "request to the supervisor: %w", err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fault.Unavailable("NOT_RUNNING", "the local platform is not running; start it with `gantry local up`: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fault.Unavailable("NOT_RUNNING", "the supervisor went away: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fault.Precondition("REFUSED", "%s", string(body))
	}
	return body, nil
}

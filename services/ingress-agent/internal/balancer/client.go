package balancer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// errBase says that Nginx holds another generation than the change builds on.
var errBase = errors.New("nginx holds another table")

// deadline of one control request; they take about a millisecond.
const deadline = 5 * time.Second

// Client talks to the control socket of the local Nginx. Every request has
// its own connection, so it always reaches a worker that takes new ones.
type Client struct {
	http *http.Client
}

// NewClient makes a client for the Unix socket.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return &Client{http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Status is what the worker that answered serves.
type Status struct {
	// Grows with each start and reload of Nginx.
	Epoch  int64  `json:"epoch"`
	Layout string `json:"layout"`
	// Generation of the table of pods.
	Generation int64 `json:"generation"`
	// Generation of the GatewayConfig in effect; 0: none since the start.
	Config    int64 `json:"config"`
	FreeBytes int64 `json:"free_bytes"`
	// Digest of the certificates that are held; empty: none, or not known.
	Certificates string `json:"certificates"`
	Worker       int    `json:"worker"`
}

// Status asks what Nginx serves.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	err := c.call(ctx, http.MethodGet, "/v1/status", nil, &s)
	return s, err
}

// Drain asks Nginx to ask its clients to reconnect, until it is reloaded.
func (c *Client) Drain(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/v1/drain", nil, nil)
}

// Undrain takes Drain back.
func (c *Client) Undrain(ctx context.Context) error {
	return c.call(ctx, http.MethodDelete, "/v1/drain", nil, nil)
}

func (c *Client) push(ctx context.Context, ch change) error {
	return c.call(ctx, http.MethodPost, "/v1/table", ch, nil)
}

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return fmt.Errorf("encode %s: %w", path, err)
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://nginx"+path, &body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return fmt.Errorf("ask nginx: %w", err)
	}
	defer response.Body.Close()
	return answer(path, response, out)
}

// maxAnswer bounds what is read of an answer in bytes.
const maxAnswer = 256 << 20

func answer(path string, response *http.Response, out any) error {
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	switch {
	case err != nil:
		return fmt.Errorf("read nginx's answer to %s: %w", path, err)
	case response.StatusCode == http.StatusConflict:
		return fmt.Errorf("%w: %s", errBase, strings.TrimSpace(string(text)))
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("nginx answers %s to %s: %s", response.Status, path, strings.TrimSpace(string(text)))
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("decode nginx's answer to %s: %w", path, err)
	}
	return nil
}

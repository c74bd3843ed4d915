package balancer

import (
	"context"
	"net/http"
)

// A Certificate is a host's certificate with its key.
type Certificate struct {
	// Hash of the other two.
	Version string `json:"version"`
	// PEM, leaf first.
	Chain string `json:"chain"`
	// PEM.
	Key string `json:"key"`
}

// A CertificateChange is the body of POST /v1/certificates, and of what Nginx
// reads when it starts without the agent.
type CertificateChange struct {
	// By host.
	Set    map[string]Certificate `json:"set,omitempty"`
	Delete []string               `json:"delete,omitempty"`
	// Names all that is held after this change; null: more parts follow.
	Digest *string `json:"digest,omitempty"`
}

// Certificates asks for the version of each host's certificate.
func (c *Client) Certificates(ctx context.Context) (map[string]string, error) {
	var versions map[string]string
	err := c.call(ctx, http.MethodGet, "/v1/certificates", nil, &versions)
	return versions, err
}

// PushCertificates changes what Nginx holds; it counts from the next handshake.
func (c *Client) PushCertificates(ctx context.Context, change CertificateChange) error {
	return c.call(ctx, http.MethodPost, "/v1/certificates", change, nil)
}

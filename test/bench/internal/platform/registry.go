package platform

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Image is what all apps run; kwok starts no container.
const Image = "bench:v1"

// manifest is an image without layers.
const manifest = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}`

// startRegistry serves the one image to cluster-mgr, which asks for its digest.
func (p *Platform) startRegistry(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", p.at(registryPort))
	if err != nil {
		return fmt.Errorf("listen for the registry: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/v2/{$}", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/v2/bench/manifests/{reference}", serveManifest)
	p.images = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := p.images.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			fmt.Println("the registry ended:", err)
		}
	}()
	return nil
}

func serveManifest(w http.ResponseWriter, r *http.Request) {
	sum := sha256.Sum256([]byte(manifest))
	w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	w.Header().Set("Docker-Content-Digest", "sha256:"+hex.EncodeToString(sum[:]))
	w.Header().Set("Content-Length", strconv.Itoa(len(manifest)))
	if r.Method == http.MethodGet {
		_, _ = w.Write([]byte(manifest)) // the caller asks again
	}
}

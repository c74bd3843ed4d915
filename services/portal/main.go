// Portal is the platform's front door: REST and gRPC for users on one HTTPS
// port, authenticated by token and passed on to cluster-mgr.
package main

import (
	"context"
	"flag"
	"strings"

	"gantry.dev/pkg/serve"
	"gantry.dev/services/portal/internal/app"
)

func main() {
	serve.Main("portal", func(flags *flag.FlagSet) func(context.Context, serve.Common) error {
		clusterMgr := flags.String("cluster-mgr", "", "host:port of each cluster-mgr, separated by commas")
		issuer := flags.String("token-issuer", "", "issuer (iss) that tokens must name")
		audience := flags.String("token-audience", "gantry", "audience (aud) that tokens must name")
		key := flags.String("token-key", "", "file with the issuer's public keys: PEM, JWK or JWK set")
		return func(ctx context.Context, c serve.Common) error {
			return app.Run(ctx, app.Config{
				Listen:        c.Listen,
				TLS:           c.TLS,
				ClusterMgr:    strings.FieldsFunc(*clusterMgr, func(r rune) bool { return r == ',' }),
				TokenIssuer:   *issuer,
				TokenAudience: *audience,
				TokenKey:      *key,
				Logger:        c.Logger,
				Registry:      c.Registry,
			})
		}
	})
}

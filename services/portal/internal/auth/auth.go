// Package auth says who is calling portal. REST and gRPC both go through
// Verifier.Authenticate; nothing else makes a Caller.
package auth

import (
	"context"
	"crypto"
	"regexp"
	"strings"
	"time"

	"gantry.dev/pkg/authz"
	"gantry.dev/pkg/fault"
	"github.com/coreos/go-oidc/v3/oidc"
)

// Leeway for clocks that differ between the issuer and portal; it counts for
// nbf only, never for exp.
const notBeforeLeeway = 30 * time.Second

// platformSubject is how records name the platform itself; no person may have
// it as a subject.
const platformSubject = "gantry"

// subjectGrammar is that of Member.subject in the API. Subjects and groups
// travel as metadata, so nothing that could separate or end a value is allowed.
var subjectGrammar = regexp.MustCompile(`^[-A-Za-z0-9_.@:/]{1,120}$`)

// Config says which tokens are good.
type Config struct {
	// Issuer must equal the token's iss.
	Issuer string
	// Audience must be one of the token's aud.
	Audience string
	// Keys are the pinned public keys, ECDSA P-256 or RSA.
	Keys []crypto.PublicKey
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Caller is an authenticated user.
type Caller struct {
	authz.Identity
	// Expires is when the token ends; streams end then too.
	Expires time.Time
}

// Verifier checks bearer tokens; safe for concurrent use.
type Verifier struct {
	tokens *oidc.IDTokenVerifier
	now    func() time.Time
}

// New returns a Verifier.
func New(cfg Config) (*Verifier, error) {
	if cfg.Issuer == "" || cfg.Audience == "" || len(cfg.Keys) == 0 {
		return nil, fault.Invalid("TOKEN_CONFIG_INCOMPLETE",
			"portal needs --token-issuer, --token-audience and --token-key to check tokens")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	verifier := oidc.NewVerifier(cfg.Issuer, &oidc.StaticKeySet{PublicKeys: cfg.Keys}, &oidc.Config{
		ClientID:             cfg.Audience,
		SupportedSigningAlgs: []string{oidc.ES256, oidc.RS256},
		Now:                  cfg.Now,
	})
	return &Verifier{tokens: verifier, now: cfg.Now}, nil
}

// claims are what portal reads beside the registered ones.
type claims struct {
	Groups    []string `json:"groups"`
	NotBefore *float64 `json:"nbf"`
}

// Authenticate returns the caller of a request from the values of its
// Authorization header. Every failure is KindUnauthenticated and says nothing
// of the token's content.
func (v *Verifier) Authenticate(ctx context.Context, authorization []string) (Caller, error) {
	raw, err := bearer(authorization)
	if err != nil {
		return Caller{}, err
	}
	token, err := v.tokens.Verify(ctx, raw)
	if err != nil {
		return Caller{}, refused(err)
	}
	var c claims
	if err := token.Claims(&c); err != nil {
		return Caller{}, refused(err)
	}
	if c.NotBefore != nil && v.now().Add(notBeforeLeeway).Unix() < int64(*c.NotBefore) {
		return Caller{}, fault.Unauthenticated("TOKEN_NOT_YET_VALID",
			"the token is not valid yet; check the clock of this machine and of the issuer")
	}
	if !subjectGrammar.MatchString(token.Subject) || token.Subject == platformSubject {
		return Caller{}, fault.Unauthenticated("TOKEN_SUBJECT_INVALID",
			"the token's subject cannot be a user name here; ask the issuer for another")
	}
	return Caller{
		Identity: authz.Identity{User: token.Subject, Groups: usableGroups(c.Groups)},
		Expires:  token.Expiry,
	}, nil
}

// usableGroups drops names outside the grammar: no member can be named so, and
// a separator inside one could pass for another group.
func usableGroups(groups []string) []string {
	var out []string
	for _, g := range groups {
		if subjectGrammar.MatchString(g) {
			out = append(out, g)
		}
	}
	return out
}

func bearer(authorization []string) (string, error) {
	if len(authorization) != 1 {
		return "", fault.Unauthenticated("TOKEN_MISSING",
			"send exactly one header `Authorization: Bearer <token>`")
	}
	scheme, token, ok := strings.Cut(authorization[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", fault.Unauthenticated("TOKEN_MISSING",
			"send the token as `Authorization: Bearer <token>`")
	}
	return strings.TrimSpace(token), nil
}

func refused(err error) error {
	if _, ok := err.(*oidc.TokenExpiredError); ok { //nolint:errorlint // go-oidc returns it bare
		return fault.Unauthenticated("TOKEN_EXPIRED", "the token has expired; get a new one and try again")
	}
	return fault.Unauthenticated("TOKEN_INVALID",
		"the token is not accepted: wrong issuer, audience, key or algorithm; get one for this platform")
}

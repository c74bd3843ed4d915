// Package vault keeps what secrets contain. Each version of a secret is
// encrypted under a key of its own, which is sealed by cluster-mgr's key, so
// that the store sees neither (rule S6). A version is named by a keyed hash of
// its content: the same content of the same secret is the same version.
package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/seal"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// Vault seals and opens secrets; safe for concurrent use.
type Vault struct {
	store *store.Store
	key   seal.Key
}

// New makes a vault. With the zero key nothing is sealed or opened: everything
// that needs the key is SECRET_KEY_MISSING.
func New(s *store.Store, key seal.Key) *Vault { return &Vault{store: s, key: key} }

// Current gives the version of a secret that the next release and every route
// take, with its values by key. SECRET_NOT_FOUND, SECRET_KEY_MISSING,
// SECRET_UNREADABLE.
func (v *Vault) Current(ctx context.Context, secret string) (version string, data map[string][]byte, err error) {
	record, err := v.store.Secrets.Get(ctx, secret)
	if err != nil {
		return "", nil, err
	}
	data, err = v.Version(ctx, secret, record.Value.Version)
	return record.Value.Version, data, err
}

// Version gives the values of one version by key. SECRET_VERSION_NOT_FOUND,
// SECRET_KEY_MISSING, SECRET_UNREADABLE.
func (v *Vault) Version(ctx context.Context, secret, version string) (map[string][]byte, error) {
	if err := v.ready(); err != nil {
		return nil, err
	}
	name := store.SecretVersionName(secret, version)
	item, err := v.store.SecretVersions.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	plain, err := v.open(item.Value, name)
	if errors.Is(err, seal.ErrNotOpened) {
		return nil, fault.Precondition("SECRET_UNREADABLE", "%s was sealed under another key; add that key to the file of --secret-key, on a line below the first, or set the secret anew", secret)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	data := map[string][]byte{}
	if err := json.Unmarshal(plain, &data); err != nil {
		return nil, fault.Internal("SECRET_UNREADABLE", "%s does not hold what it should: %w", name, err)
	}
	return data, nil
}

// VersionOf is the version that a content has or would have.
// SECRET_KEY_MISSING.
func (v *Vault) VersionOf(secret string, data map[string][]byte) (string, error) {
	if err := v.ready(); err != nil {
		return "", err
	}
	plain, err := encode(data)
	if err != nil {
		return "", err
	}
	return v.key.Hash(append([]byte(secret+"\n"), plain...)), nil
}

// Put adds a version with this content to a change and gives its name; what is
// there already is sealed anew. SECRET_KEY_MISSING.
func (v *Vault) Put(change *store.Change, secret string, data map[string][]byte) (version string, err error) {
	version, err = v.VersionOf(secret, data)
	if err != nil {
		return "", err
	}
	plain, err := encode(data)
	if err != nil {
		return "", err
	}
	name := store.SecretVersionName(secret, version)
	sealed, err := v.seal(plain, name)
	if err != nil {
		return "", fmt.Errorf("seal %s: %w", name, err)
	}
	v.store.SecretVersions.Put(change, name, sealed, store.Any)
	return version, nil
}

func (v *Vault) ready() error {
	if v.key.Valid() {
		return nil
	}
	return fault.Precondition("SECRET_KEY_MISSING", "cluster-mgr has no key to seal secrets with; an operator makes one (openssl rand -base64 32 > secret.key) and starts every cluster-mgr with --secret-key secret.key")
}

// seal binds both parts to the name, so that neither can be put elsewhere.
func (v *Vault) seal(plain []byte, name string) (store.SecretVersion, error) {
	own := seal.New()
	sealed, err := own.Seal(plain, []byte(name))
	if err != nil {
		return store.SecretVersion{}, err
	}
	sealedKey, err := v.key.Seal([]byte(own.String()), []byte(name))
	return store.SecretVersion{SealedKey: sealedKey, Sealed: sealed, CreateTime: time.Now().UTC()}, err
}

func (v *Vault) open(s store.SecretVersion, name string) ([]byte, error) {
	text, err := v.key.Open(s.SealedKey, []byte(name))
	if err != nil {
		return nil, err
	}
	own, err := seal.Parse(string(text))
	if err != nil {
		return nil, err
	}
	return own.Open(s.Sealed, []byte(name))
}

// encode is the same for the same content.
func encode(data map[string][]byte) ([]byte, error) { return json.Marshal(data) }

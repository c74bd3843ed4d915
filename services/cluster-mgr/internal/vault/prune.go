package vault

import (
	"context"
	"strings"

	"gantry.dev/pkg/names"
	"gantry.dev/services/cluster-mgr/internal/store"
)

const (
	// releasesAtOnce is how many releases are in memory at a time: each holds
	// its app's files.
	releasesAtOnce = 50
	// prunedAtOnce keeps a change below etcd's 128 writes.
	prunedAtOnce = 100
)

// Prune removes the versions of a secret that no release names and that are
// not the current one. When a release is made meanwhile, nothing is removed
// (CHANGED_MEANWHILE): the next time does it.
func (v *Vault) Prune(ctx context.Context, secret string) error {
	record, err := v.store.Secrets.Get(ctx, secret)
	if err != nil {
		return err
	}
	versions, at, err := v.store.SecretVersions.List(ctx, store.SecretVersionName(secret, ""))
	if err != nil || len(versions) <= 1 {
		return err
	}
	used, err := v.used(ctx, secret)
	if err != nil {
		return err
	}
	used[record.Value.Version] = true
	change := store.NewChange()
	v.store.Secrets.Expect(change, secret, record.ModRevision)
	v.store.Releases.ExpectNoneSince(change, apps(secret), at)
	removed := 0
	for _, item := range versions {
		if version := strings.TrimPrefix(item.Name, store.SecretVersionName(secret, "")); !used[version] && removed < prunedAtOnce {
			v.store.SecretVersions.Delete(change, item.Name, item.ModRevision)
			removed++
		}
	}
	if removed == 0 {
		return nil
	}
	_, err = v.store.Commit(ctx, change)
	return err
}

// used are the versions of a secret that releases of its project name: each of
// them can be rolled back to.
func (v *Vault) used(ctx context.Context, secret string) (map[string]bool, error) {
	out := map[string]bool{}
	for token := ""; ; {
		page, err := v.store.Releases.Page(ctx, apps(secret), releasesAtOnce, token, false)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Items {
			if version := r.Value.GetSecretVersions()[secret]; version != "" {
				out[version] = true
			}
		}
		if token = page.Next; token == "" {
			return out, nil
		}
	}
}

// apps is the prefix of the names of all releases that may use a secret.
func apps(secret string) string { return names.Parent(secret) + "/apps/" }

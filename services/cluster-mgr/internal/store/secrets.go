package store

import (
	"fmt"
	"time"
)

// SecretRecord is a secret without its content, which is in its versions.
type SecretRecord struct {
	// "projects/pay/secrets/db".
	Name string `json:"name"`
	// The version that the next release and every route take, "sha256:…".
	Version string `json:"version"`
	// Keys of that version in name order.
	Keys []string `json:"keys"`
	// Size of all its values together, in bytes.
	Bytes      int       `json:"bytes"`
	CreateTime time.Time `json:"create_time"`
}

// SecretVersion is one content of a secret, encrypted under a key of its own,
// which is sealed by the key of cluster-mgr (rule S6).
type SecretVersion struct {
	SealedKey  []byte    `json:"sealed_key"`
	Sealed     []byte    `json:"sealed"`
	CreateTime time.Time `json:"create_time"`
}

// SecretVersionName names a version in SecretVersions.
func SecretVersionName(secret, version string) string { return secret + "/versions/" + version }

// ReleaseName names a release; names sort by number up to a million releases.
func ReleaseName(app string, number int32) string {
	return fmt.Sprintf("%s/releases/%06d", app, number)
}

package seal_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gantry.dev/pkg/seal"
	"pgregory.net/rapid"
)

// rule S6
func TestOnlyTheSameKeyAboutTheSameThingOpens(t *testing.T) {
	key, other := seal.New(), seal.New()
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		sealed, err := key.Seal(plain, []byte("secret a"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := key.Open(sealed, []byte("secret a")); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("opened %q, %v", got, err)
		}
		changed := bytes.Clone(sealed)
		changed[rapid.IntRange(0, len(sealed)-1).Draw(t, "at")] ^= 1
		for why, open := range map[string]func() ([]byte, error){
			"another key":       func() ([]byte, error) { return other.Open(sealed, []byte("secret a")) },
			"about another":     func() ([]byte, error) { return key.Open(sealed, []byte("secret b")) },
			"derived":           func() ([]byte, error) { return key.Derive("x").Open(sealed, []byte("secret a")) },
			"changed":           func() ([]byte, error) { return key.Open(changed, []byte("secret a")) },
			"cut":               func() ([]byte, error) { return key.Open(sealed[:11], []byte("secret a")) },
			"with the zero key": func() ([]byte, error) { return seal.Key{}.Open(sealed, []byte("secret a")) },
		} {
			if _, err := open(); !errors.Is(err, seal.ErrNotOpened) {
				t.Fatalf("%s: %v", why, err)
			}
		}
		if len(plain) >= 8 && bytes.Contains(sealed, plain) {
			t.Fatal("the text can be read")
		}
	})
}

func TestANewSecretInFrontOpensWhatTheOldOneSealed(t *testing.T) {
	old, fresh := seal.New(), seal.New()
	sealed, err := old.Derive("gateway/main").Seal([]byte("text"), nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(fresh.String()+old.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	both, err := seal.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := both.Derive("gateway/main").Open(sealed, nil); err != nil || string(got) != "text" {
		t.Fatalf("opened %q, %v", got, err)
	}
	resealed, err := both.Seal([]byte("text"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fresh.Open(resealed, nil); err != nil {
		t.Fatal("the first secret did not seal")
	}
}

func TestHash(t *testing.T) {
	key := seal.New()
	hash := key.Hash([]byte("a"))
	if again, other := key.Hash([]byte("a")), key.Hash([]byte("b")); hash != again || hash == other {
		t.Error("equal texts have equal hashes, others have not")
	}
	if hash == seal.New().Hash([]byte("a")) {
		t.Error("texts can be tried out without the key")
	}
}

func TestReadSaysWhatToDo(t *testing.T) {
	for name, text := range map[string]string{"short": "YWJj\n", "no base64": "!\n", "empty": "\n"} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := seal.Read(path); err == nil || !strings.Contains(err.Error(), "openssl rand -base64 32") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := seal.Read(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

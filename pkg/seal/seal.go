// Package seal encrypts what must not be readable where it is stored
// (rule S6): AES-256-GCM under a key from a file, or one derived from it.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
)

// size of a key in bytes: AES-256.
const size = 32

// ErrNotOpened is what Open returns for a text that none of the keys made,
// that was made about something else, or that was changed.
var ErrNotOpened = errors.New("the sealed text does not fit the key")

// Key seals with its first secret and opens with all of them, so that a new
// one can be put in front of an old one. The zero Key is none: see Valid.
type Key struct {
	secrets [][]byte
}

// New makes a key of random bytes.
func New() Key {
	secret := make([]byte, size)
	_, _ = rand.Read(secret) // never fails
	return Key{secrets: [][]byte{secret}}
}

// Read reads a key file: one line of base64 per secret of 32 bytes, the one
// that seals first.
func Read(path string) (Key, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Key{}, fmt.Errorf("read the key: %w", err)
	}
	k, err := Parse(string(text))
	if err != nil {
		return Key{}, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

// Parse reads what String gives, or the content of a key file.
func Parse(text string) (Key, error) {
	var k Key
	for number, line := range strings.Fields(text) {
		secret, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(secret) != size {
			return Key{}, fmt.Errorf("line %d is not the base64 of %d bytes; make one with: openssl rand -base64 %d", number+1, size, size)
		}
		k.secrets = append(k.secrets, secret)
	}
	if !k.Valid() {
		return Key{}, fmt.Errorf("there is no key; make one with: openssl rand -base64 %d", size)
	}
	return k, nil
}

// Valid tells whether there is anything to seal with.
func (k Key) Valid() bool { return len(k.secrets) > 0 }

// String is the content of the key's file. It is as secret as the key.
func (k Key) String() string {
	var b strings.Builder
	for _, secret := range k.secrets {
		b.WriteString(base64.StdEncoding.EncodeToString(secret) + "\n")
	}
	return b.String()
}

// Derive makes a key for one purpose, "gateway/main". Who has it learns nothing
// of k or of another purpose.
func (k Key) Derive(purpose string) Key {
	derived := Key{secrets: make([][]byte, len(k.secrets))}
	for i, secret := range k.secrets {
		derived.secrets[i] = expand(secret, "derive "+purpose)
	}
	return derived
}

// Hash is a keyed "sha256:…" of a text: equal texts have equal hashes, and
// without the key nobody can try out texts.
func (k Key) Hash(plain []byte) string {
	mac := hmac.New(sha256.New, expand(k.first(), "hash"))
	mac.Write(plain)
	return "sha256:" + hex.EncodeToString(mac.Sum(nil))
}

// Seal encrypts plain; it opens only with the same about. The answer is a
// nonce of 12 bytes and the ciphertext.
func (k Key) Seal(plain, about []byte) ([]byte, error) {
	if !k.Valid() {
		return nil, errors.New("there is no key to seal with")
	}
	aead := aead(k.first())
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return aead.Seal(nonce, nonce, plain, about), nil
}

// Open gives back what Seal was given; ErrNotOpened otherwise.
func (k Key) Open(sealed, about []byte) ([]byte, error) {
	for _, secret := range k.secrets {
		aead := aead(secret)
		if len(sealed) < aead.NonceSize() {
			break
		}
		nonce, text := sealed[:aead.NonceSize()], sealed[aead.NonceSize():]
		if plain, err := aead.Open(nil, nonce, text, about); err == nil {
			return plain, nil
		}
	}
	return nil, ErrNotOpened
}

func (k Key) first() []byte {
	if !k.Valid() {
		panic("seal: a Key from Read or New is required")
	}
	return k.secrets[0]
}

func expand(secret []byte, info string) []byte {
	out, err := hkdf.Key(sha256.New, secret, nil, info, size)
	if err != nil {
		panic(err) // only for a length beyond 255 hashes
	}
	return out
}

func aead(secret []byte) cipher.AEAD {
	block, err := aes.NewCipher(secret)
	if err != nil {
		panic(err) // only for another length than 32
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // only for another block than AES
	}
	return gcm
}

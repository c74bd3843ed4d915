// Package client is a Go client of the public API: contexts from the config
// file, one authenticated gRPC connection to portal, a typed client per service.
package client

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gantry.dev/pkg/fault"
	"go.yaml.in/yaml/v3"
)

// File is the content of a config file.
type File struct {
	// CurrentContext is used when no other is asked for.
	CurrentContext string    `yaml:"current_context"`
	Contexts       []Context `yaml:"contexts"`

	path string
}

// Context is one platform to talk to, as one user.
type Context struct {
	Name string `yaml:"name"`
	// Server is host:port of portal.
	Server string `yaml:"server"`
	// CAFile is a PEM file; empty: the system's CAs. A relative path is
	// relative to the config file.
	CAFile string `yaml:"ca_file,omitempty"`
	// TokenFile holds the bearer token and is read for every call, so a new
	// token counts at once. A relative path is relative to the config file.
	TokenFile string `yaml:"token_file"`
	// Project is the default project; empty: each command must name one.
	Project string `yaml:"project,omitempty"`
}

// Config is a chosen context with absolute paths.
type Config struct {
	Context
}

// DefaultPath returns $GANTRY_CONFIG, or ./.local/gantry.yaml if it is there,
// or ~/.config/gantry/config.yaml. getenv is os.Getenv outside tests.
func DefaultPath(getenv func(string) string) string {
	if path := getenv("GANTRY_CONFIG"); path != "" {
		return path
	}
	local := filepath.Join(".local", "gantry.yaml")
	if _, err := os.Stat(local); err == nil {
		return local
	}
	return filepath.Join(getenv("HOME"), ".config", "gantry", "config.yaml")
}

// Load reads the config file at path and returns the named context, or the
// current one if context is empty. An empty path means DefaultPath.
func Load(path, context string) (*Config, error) {
	if path == "" {
		path = DefaultPath(os.Getenv)
	}
	file, err := ReadFile(path)
	if err != nil {
		return nil, err
	}
	return file.Choose(context)
}

// ReadFile reads a config file; unknown fields are errors.
func ReadFile(path string) (*File, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Invalid("CONFIG_MISSING",
			"there is no config file %s; start a platform with `gantry local up`, or name one with --config", path)
	}
	if err != nil {
		return nil, fault.Invalid("CONFIG_UNREADABLE", "the config file cannot be read: %w", err)
	}
	file := &File{path: path}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(file); err != nil {
		return nil, fault.Invalid("CONFIG_INVALID", "%s is not a config file: %w", path, err)
	}
	return file, nil
}

// Choose returns the named context, or the current one for "".
func (f *File) Choose(name string) (*Config, error) {
	if name == "" {
		name = f.CurrentContext
	}
	var known []string
	for _, c := range f.Contexts {
		if c.Name == name {
			return f.resolve(c)
		}
		known = append(known, c.Name)
	}
	if name == "" {
		return nil, fault.Invalid("CONTEXT_MISSING", "%s names no current_context; choose one of %s with `gantry config use-context`",
			f.path, strings.Join(known, ", "))
	}
	return nil, fault.NotFound("CONTEXT_UNKNOWN", "%s has no context %q; it has: %s", f.path, name, strings.Join(known, ", "))
}

func (f *File) resolve(c Context) (*Config, error) {
	c.Server = strings.TrimSuffix(strings.TrimPrefix(c.Server, "https://"), "/")
	if c.Server == "" || c.TokenFile == "" {
		return nil, fault.Invalid("CONFIG_INVALID", "context %q in %s needs server and token_file", c.Name, f.path)
	}
	dir, err := filepath.Abs(filepath.Dir(f.path))
	if err != nil {
		return nil, fault.Internal("CONFIG_PATH", "find the folder of %s: %w", f.path, err)
	}
	for _, p := range []*string{&c.CAFile, &c.TokenFile} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	return &Config{c}, nil
}

// Save writes the file back where it was read from, readable for its owner.
func (f *File) Save() error {
	data, err := yaml.Marshal(f)
	if err != nil {
		return fault.Internal("CONFIG_ENCODE", "encode the config: %w", err)
	}
	next := f.path + ".new"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return fault.Invalid("CONFIG_UNWRITABLE", "the config file cannot be written: %w", err)
	}
	if err := os.Rename(next, f.path); err != nil {
		return fault.Invalid("CONFIG_UNWRITABLE", "the config file cannot be replaced: %w", err)
	}
	return nil
}

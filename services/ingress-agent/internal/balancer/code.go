// Package balancer is the agent's side of the table of pods that Nginx serves
// from: the Lua that runs in Nginx, a client of its control socket, and a
// Syncer that keeps the table there equal to the one wanted.
package balancer

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed lua
var code embed.FS

// Code gives the Lua files by path as Nginx requires them.
func Code() (map[string][]byte, error) {
	files := map[string][]byte{}
	err := fs.WalkDir(code, "lua", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files[strings.TrimPrefix(path, "lua/")], err = code.ReadFile(path)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the embedded Lua: %w", err)
	}
	return files, nil
}

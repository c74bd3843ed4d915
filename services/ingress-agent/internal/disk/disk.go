// Package disk writes files that survive a crash whole: the old content or
// the new one, never a part.
package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Replace writes path by way of a temporary file beside it: data, fsync,
// rename, fsync of the directory.
func Replace(path string, data []byte) error {
	temp := path + ".new"
	if err := Write(temp, data); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return SyncDir(filepath.Dir(path))
}

// Write creates or truncates path and makes its content durable.
func Write(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// Link points the symbolic link at target in one step.
func Link(target, link string) error {
	temp := link + ".new"
	if err := os.Remove(temp); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("link %s: %w", link, err)
	}
	if err := os.Symlink(target, temp); err != nil {
		return fmt.Errorf("link %s: %w", link, err)
	}
	if err := os.Rename(temp, link); err != nil {
		return fmt.Errorf("link %s: %w", link, err)
	}
	return SyncDir(filepath.Dir(link))
}

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

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
func Replace(path string, data []byte) error { return replace(path, data, 0o644) }

// ReplaceSecret does the same; only the owner may read the file.
func ReplaceSecret(path string, data []byte) error { return replace(path, data, 0o600) }

func replace(path string, data []byte, mode os.FileMode) error {
	temp := path + ".new"
	if err := write(temp, data, mode); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return Sync(filepath.Dir(path))
}

// write creates or truncates path and makes its content durable.
func write(path string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	err = f.Chmod(mode) // one of before a crash may have another
	if err == nil {
		_, err = f.Write(data)
	}
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
	return Sync(filepath.Dir(link))
}

// Sync makes a file, or the names in a directory, durable.
func Sync(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

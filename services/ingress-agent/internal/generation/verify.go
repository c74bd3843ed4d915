// Package generation brings a model into effect: files of a new generation,
// the daemons' verdict, an atomic swap, a confirmed reload, and the way back.
package generation

import (
	"errors"
	"fmt"

	"gantry.dev/services/ingress-agent/internal/render"
)

// verify reads the files back before they are used (rule I2).
func verify(files map[string][]byte, m render.Model) error {
	got, err := render.Parse(files)
	if err != nil {
		return fmt.Errorf("read back what was rendered: %w", err)
	}
	if !render.Equal(got, m) {
		return errors.New("what was rendered does not read back as what was meant; this is a defect, nothing was changed")
	}
	return nil
}

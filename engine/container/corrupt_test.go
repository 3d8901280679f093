package container

import (
	"errors"

	"pongofs/engine/layout"
)

func isCorrupt(err error) bool { return errors.Is(err, layout.ErrCorrupt) }

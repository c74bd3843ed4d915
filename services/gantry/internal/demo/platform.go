package demo

import (
	"context"

	"gantry.dev/services/gantry/internal/local"
)

// LocalPlatform is the platform that `gantry local up` runs with the same
// options.
func LocalPlatform(o local.Options) Platform { return localPlatform{o} }

type localPlatform struct{ options local.Options }

func (p localPlatform) Kill(ctx context.Context, group string) error {
	return local.Kill(ctx, p.options, group)
}

func (p localPlatform) Start(ctx context.Context, group string) error {
	return local.Start(ctx, p.options, group)
}

func (p localPlatform) Down(ctx context.Context) error { return local.Down(ctx, p.options) }

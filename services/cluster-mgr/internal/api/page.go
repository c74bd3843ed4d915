package api

import (
	"context"

	"gantry.dev/services/cluster-mgr/internal/store"
)

// defaultPage is the size of a page that asks for none.
const defaultPage = 100

// paged is a list request.
type paged interface {
	GetPageSize() int32
	GetPageToken() string
}

// page reads one page of what begins with prefix and is wanted; fill makes a
// resource ready to be shown.
func page[T any](ctx context.Context, c *store.Collection[T], r paged, prefix string, newestFirst bool, fill func(store.Item[T]) (T, bool)) ([]T, string, error) {
	size := int(r.GetPageSize())
	if size == 0 {
		size = defaultPage
	}
	p, err := c.Page(ctx, prefix, size, r.GetPageToken(), newestFirst)
	if err != nil {
		return nil, "", err
	}
	out := make([]T, 0, len(p.Items))
	for _, item := range p.Items {
		if v, wanted := fill(item); wanted {
			out = append(out, v)
		}
	}
	return out, p.Next, nil
}

// below is the prefix of what a parent holds: "projects/pay" has
// "projects/pay/apps/web"; "projects/-" stands for every project.
func below(parent string) string {
	if parent == "projects/-" {
		return ""
	}
	return parent + "/"
}

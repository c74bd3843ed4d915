package api

import (
	"context"

	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/proto"
)

// defaultPage is the size of a page that asks for none.
const defaultPage = 100

// maxPageBytes ends a page that has become large (apps carry their files);
// gRPC clients take 4 MiB.
const maxPageBytes = 2 << 20

// paged is a list request.
type paged interface {
	GetPageSize() int32
	GetPageToken() string
}

// page reads one page of what begins with prefix and is wanted; fill makes a
// resource ready to be shown.
func page[T proto.Message](ctx context.Context, c *store.Collection[T], r paged, prefix string, newestFirst bool, fill func(store.Item[T]) (T, bool)) ([]T, string, error) {
	p, err := c.Page(ctx, prefix, sizeOf(r), r.GetPageToken(), newestFirst)
	if err != nil {
		return nil, "", err
	}
	out := make([]T, 0, len(p.Items))
	bytes := 0
	for i, item := range p.Items {
		v, wanted := fill(item)
		if wanted {
			out = append(out, v)
			bytes += proto.Size(v)
		}
		if bytes > maxPageBytes && i+1 < len(p.Items) {
			return out, item.Name, nil
		}
	}
	return out, p.Next, nil
}

func sizeOf(r paged) int {
	if r.GetPageSize() == 0 {
		return defaultPage
	}
	return int(r.GetPageSize())
}

// all is the fill of a list that shows what is stored.
func all[T any](item store.Item[T]) (T, bool) { return item.Value, true }

// anyProject is the parent of what is in any project.
const anyProject = "projects/-"

// below is the prefix of what a parent holds: "projects/pay" has
// "projects/pay/apps/web"; "projects/-" stands for every project.
func below(parent string) string {
	if parent == anyProject {
		return ""
	}
	return parent + "/"
}

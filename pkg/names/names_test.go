package names_test

import (
	"testing"

	"gantry.dev/pkg/names"
)

func TestNames(t *testing.T) {
	tests := []struct{ name, id, project, parent string }{
		{"projects/pay/apps/web", "web", "pay", "projects/pay"},
		{"projects/pay/apps/web/releases/3", "3", "pay", "projects/pay/apps/web"},
		{"projects/pay", "pay", "pay", ""},
		{"clusters/site-a", "site-a", "", ""},
		{"web", "web", "", ""},
		{"", "", "", ""},
	}
	for _, tc := range tests {
		if id, project, parent := names.ID(tc.name), names.Project(tc.name), names.Parent(tc.name); id != tc.id || project != tc.project || parent != tc.parent {
			t.Errorf("%q: %q %q %q", tc.name, id, project, parent)
		}
	}
}

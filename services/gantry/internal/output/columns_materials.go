package output

import (
	"strings"
	"time"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
)

func secretColumns() []column {
	type secret = *gantryv1.Secret
	return []column{
		of("NAME", func(s secret, _ time.Time) string { return Last(s.GetName()) }),
		of("KEYS", func(s secret, _ time.Time) string { return strings.Join(s.GetKeys(), ",") }),
		of("VERSION", func(s secret, _ time.Time) string { return shortDigest(s.GetVersion()) }),
		of("USED BY", func(s secret, _ time.Time) string { return shorts(s.GetUsedBy()) }),
		of("AGE", func(s secret, now time.Time) string { return age(s.GetCreateTime(), now) }),
	}
}

func volumeColumns() []column {
	type volume = *gantryv1.Volume
	return []column{
		of("NAME", func(v volume, _ time.Time) string { return Last(v.GetName()) }),
		of("CLUSTERS", func(v volume, _ time.Time) string { return clustersOf(v.GetSources()) }),
		of("CAPACITY", func(v volume, _ time.Time) string { return v.GetCapacity() }),
		of("USED BY", func(v volume, _ time.Time) string { return shorts(v.GetUsedBy()) }),
		of("AGE", func(v volume, now time.Time) string { return age(v.GetCreateTime(), now) }),
		wideOf("SOURCES", func(v volume, _ time.Time) string { return sources(v.GetSources()) }),
	}
}

// shorts is "app/web,route/web".
func shorts(names []string) string {
	var out []string
	for _, name := range names {
		out = append(out, Short(name))
	}
	return strings.Join(out, ",")
}

func clustersOf(all []*gantryv1.VolumeSource) string {
	var out []string
	for _, s := range all {
		out = append(out, Last(s.GetCluster()))
	}
	return strings.Join(out, ",")
}

// sources is "site-a nfs 10.0.0.9:/exports/pay, site-b /mnt/pay".
func sources(all []*gantryv1.VolumeSource) string {
	var out []string
	for _, s := range all {
		where := s.GetDirectory()
		switch {
		case s.GetNfs() != nil:
			where = "nfs " + s.GetNfs().GetServer() + ":" + s.GetNfs().GetPath()
		case s.GetCsi() != nil:
			where = s.GetCsi().GetDriver() + " " + s.GetCsi().GetVolumeHandle()
		}
		out = append(out, Last(s.GetCluster())+" "+where)
	}
	return strings.Join(out, ", ")
}

package api_test

import (
	"testing"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
)

func (h *harness) volumes() gantryv1.VolumeServiceClient {
	return gantryv1.NewVolumeServiceClient(h.conn)
}

// dataVolume is an NFS export that site-a can mount.
func dataVolume(more ...*gantryv1.VolumeSource) *gantryv1.Volume {
	return &gantryv1.Volume{Name: "projects/pay/volumes/data", Sources: append([]*gantryv1.VolumeSource{nfs("site-a", "/exports/pay")}, more...)}
}

func nfs(cluster, path string) *gantryv1.VolumeSource {
	return &gantryv1.VolumeSource{Cluster: "clusters/" + cluster, Source: &gantryv1.VolumeSource_Nfs{Nfs: &gantryv1.NfsVolume{Server: "10.0.0.9", Path: path}}}
}

func directory(cluster, path string) *gantryv1.VolumeSource {
	return &gantryv1.VolumeSource{Cluster: "clusters/" + cluster, Source: &gantryv1.VolumeSource_Directory{Directory: path}}
}

// volume stores one as an operator.
func (h *harness) volume(v *gantryv1.Volume) *gantryv1.Volume {
	h.t.Helper()
	out, err := h.volumes().UpdateVolume(h.admin(), &gantryv1.UpdateVolumeRequest{Volume: v, AllowMissing: true})
	h.ok(err)
	return out
}

// owned makes olga an owner of the project, and registers site-b.
func (h *harness) owned() {
	h.t.Helper()
	item, err := h.store.Projects.Get(h.t.Context(), "projects/pay")
	h.ok(err)
	item.Value.Members = append(item.Value.Members, &gantryv1.Member{Subject: "user:olga", Role: gantryv1.Member_ROLE_OWNER})
	_, err = gantryv1.NewProjectServiceClient(h.conn).UpdateProject(h.admin(), &gantryv1.UpdateProjectRequest{Project: item.Value})
	h.ok(err)
	_, err = gantryv1.NewClusterServiceClient(h.conn).CreateCluster(h.admin(), &gantryv1.CreateClusterRequest{Cluster: h.cluster("site-b", "uid-b")})
	h.ok(err)
}

func mounting(volume string) func(*gantryv1.AppSpec) {
	return func(s *gantryv1.AppSpec) {
		s.Volumes = []*gantryv1.VolumeMount{{Volume: volume, Path: "/data"}}
	}
}

func TestVolumesOnlyFromWhoMay(t *testing.T) {
	h := newHarness(t)
	h.platform()
	h.owned()
	create := func(user string, v *gantryv1.Volume) error {
		_, err := h.volumes().CreateVolume(h.as(user), &gantryv1.CreateVolumeRequest{Parent: "projects/pay", Volume: v})
		return err
	}
	h.refused(create("ann", dataVolume()), "PERMISSION_DENIED")
	h.refused(create("olga", dataVolume(directory("site-b", "/mnt/pay"))), "DIRECTORY_DENIED")
	csi := func(nodeSecret string) *gantryv1.VolumeSource {
		return &gantryv1.VolumeSource{Cluster: "clusters/site-b", Source: &gantryv1.VolumeSource_Csi{Csi: &gantryv1.CsiVolume{Driver: "cephfs.csi.ceph.com", VolumeHandle: "x", NodeSecret: nodeSecret}}}
	}
	h.refused(create("olga", dataVolume(csi("ceph/admin"))), "NODE_SECRET_DENIED")
	h.ok(create("olga", dataVolume(csi(""))))
	h.refused(create("olga", dataVolume()), "VOLUME_EXISTS")
	h.volume(dataVolume(directory("site-b", "/mnt/pay")))
	// What an operator has given, an owner may keep.
	kept := dataVolume(directory("site-b", "/mnt/pay"))
	kept.Capacity = "5Gi"
	_, err := h.volumes().UpdateVolume(h.as("olga"), &gantryv1.UpdateVolumeRequest{Volume: kept})
	h.ok(err)
	for field, wrong := range map[string]*gantryv1.Volume{
		"twice":      dataVolume(nfs("site-a", "/exports/other")),
		"no cluster": dataVolume(nfs("site-z", "/exports/pay")),
		"system":     dataVolume(directory("site-b", "/proc/self")),
		"no size":    {Name: "projects/pay/volumes/data", Capacity: "0Gi", Sources: dataVolume().GetSources()},
	} {
		if _, err := h.volumes().UpdateVolume(h.admin(), &gantryv1.UpdateVolumeRequest{Volume: wrong}); err == nil {
			t.Errorf("%s: was taken", field)
		}
	}
	got, err := h.volumes().GetVolume(h.as("vic"), &gantryv1.GetVolumeRequest{Name: kept.GetName()})
	h.ok(err)
	if got.GetCapacity() != "5Gi" || len(got.GetSources()) != 2 || got.GetEtag() == "" {
		t.Errorf("stored %v", got)
	}
}

func TestAVolumeInUseStaysAsItIs(t *testing.T) {
	h := newHarness(t)
	h.platform()
	h.owned()
	h.volume(dataVolume(nfs("site-b", "/exports/b")))
	h.runs(web(mounting(dataVolume().GetName())), "clusters/site-a", 2)
	list, err := h.volumes().ListVolumes(h.as("vic"), &gantryv1.ListVolumesRequest{Parent: "projects/pay"})
	h.ok(err)
	if diff := cmp.Diff([]string{web().GetName()}, list.GetVolumes()[0].GetUsedBy()); diff != "" {
		t.Errorf("used by:\n%s", diff)
	}
	other := dataVolume(nfs("site-b", "/exports/b"))
	other.Sources[0] = nfs("site-a", "/exports/other")
	larger := dataVolume(nfs("site-b", "/exports/b"))
	larger.Capacity = "9Gi"
	onlyB := &gantryv1.Volume{Name: other.GetName(), Sources: []*gantryv1.VolumeSource{nfs("site-b", "/exports/b")}}
	for name, wrong := range map[string]*gantryv1.Volume{"another source": other, "another capacity": larger, "gone from where it is used": onlyB} {
		_, err := h.volumes().UpdateVolume(h.admin(), &gantryv1.UpdateVolumeRequest{Volume: wrong})
		if h.refused(err, "VOLUME_IN_USE"); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
	_, err = h.volumes().DeleteVolume(h.admin(), &gantryv1.DeleteVolumeRequest{Name: other.GetName()})
	h.refused(err, "VOLUME_IN_USE")
	h.volume(dataVolume()) // nobody uses it in site-b
	h.volume(dataVolume(nfs("site-b", "/exports/new")))
	_, err = h.apply(web())
	h.ok(err)
	_, err = h.volumes().DeleteVolume(h.admin(), &gantryv1.DeleteVolumeRequest{Name: other.GetName()})
	h.ok(err)
}

// An app with a volume is refused where nothing that has the volume has room.
func TestAVolumeNeedsRoomWhereItIs(t *testing.T) {
	h := newHarness(t)
	h.platform()
	h.owned()
	h.volume(dataVolume())
	app := web(mounting(dataVolume().GetName()))
	app.Spec.Replicas = 11 // ten fit into each cluster
	_, err := h.apply(app)
	h.refused(err, "CAPACITY_EXHAUSTED")
	plain := proto.CloneOf(app)
	plain.Spec.Volumes = nil
	_, err = h.apply(plain)
	h.ok(err)
	_, err = h.apply(app)
	h.refused(err, "CAPACITY_EXHAUSTED")
}

// A migration of what has its volume elsewhere only names the volume.
func TestAMigrationNamesTheVolumeThatIsMissing(t *testing.T) {
	h := newHarness(t)
	h.platform()
	h.owned()
	h.volume(dataVolume())
	h.runs(web(mounting(dataVolume().GetName())), "clusters/site-a", 2)
	h.healthy("clusters/site-a", "clusters/site-b")
	_, err := gantryv1.NewClusterServiceClient(h.conn).MigrateApps(h.admin(), &gantryv1.MigrateAppsRequest{Name: "clusters/site-a", ValidateOnly: true})
	h.refused(err, "PLAN_IMPOSSIBLE")
	h.says(err, "volume projects/pay/volumes/data is not in site-b")
	h.volume(dataVolume(nfs("site-b", "/exports/b")))
	_, err = gantryv1.NewClusterServiceClient(h.conn).MigrateApps(h.admin(), &gantryv1.MigrateAppsRequest{Name: "clusters/site-a", ValidateOnly: true})
	h.ok(err)
}

package app_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"gantry.dev/pkg/fault"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// bring puts secrets and volumes here as the leader with epoch 10.
func (s *site) bring(r *ipaasv1.ApplyConfigRequest) error {
	r.Epoch, r.Identity = 10, s.identity
	_, err := s.ApplyConfig(context.Background(), r)
	return err
}

func secretVersion(digit string) string { return "sha256:" + strings.Repeat(digit, 64) }

// Another version is another object and a rollout; a rollback brings the old
// one back, and all go with the app.
func secretsGoWithTheRelease(t *testing.T, s *site) {
	const app, ns, db = "projects/hush/apps/web", "gantry-hush", "projects/hush/secrets/db"
	w := workload(app, 1)
	key := &gantryv1.SecretKey{Secret: db, Key: "password"}
	w.Spec.Env = []*gantryv1.EnvVar{{Name: "PASSWORD", Secret: key}}
	w.Spec.Files = []*gantryv1.ConfigFile{{Path: "/etc/plain", Content: "x"}, {Path: "/etc/web/password", Secret: key}}
	if _, err := s.apply(w); !fault.HasReason(err, "SECRET_VERSION") {
		t.Errorf("without a version: %v, want SECRET_VERSION", err)
	}
	deploy := func(release int32, digit string) (object string) {
		t.Helper()
		check(t, s.bring(&ipaasv1.ApplyConfigRequest{App: app, Release: release, Files: w.GetSpec().GetFiles(), Secrets: []*ipaasv1.SecretContent{
			{Name: db, Version: secretVersion(digit), Data: map[string][]byte{"password": []byte("pw" + digit), "other": {0, 1}}},
		}}))
		w.Release, w.SecretVersions = release, map[string]string{db: secretVersion(digit)}
		_, err := s.apply(w)
		check(t, err)
		pod := s.deployment(t, ns, "web").Spec.Template.Spec
		object = pod.Volumes[1].Secret.SecretName
		for _, e := range pod.Containers[0].Env {
			if e.Name == "PASSWORD" && (e.ValueFrom.SecretKeyRef.Name != object || e.ValueFrom.SecretKeyRef.Key != "password") {
				t.Errorf("the variable comes from %v", e.ValueFrom)
			}
		}
		mount := pod.Containers[0].VolumeMounts[1]
		if mount.MountPath != "/etc/web/password" || mount.SubPath != "password" || !mount.ReadOnly || len(pod.Volumes[1].Secret.Items) != 1 {
			t.Errorf("mounted %v from %v", mount, pod.Volumes[1].Secret)
		}
		return object
	}
	first, second, third := deploy(1, "a"), deploy(2, "b"), deploy(3, "a")
	if first == second || first != third {
		t.Errorf("objects %s, %s, %s, want the first and the last the same", first, second, third)
	}
	secrets := s.Admin.CoreV1().Secrets(ns)
	got, err := secrets.Get(t.Context(), first, metav1.GetOptions{})
	check(t, err)
	if got.Labels["gantry.dev/app"] != "web" || got.Labels["gantry.dev/release"] != "3" || !*got.Immutable || string(got.Data["password"]) != "pwa" || len(got.Data) != 2 {
		t.Errorf("object %v", got)
	}
	config, err := s.Admin.CoreV1().ConfigMaps(ns).List(t.Context(), metav1.ListOptions{LabelSelector: "gantry.dev/app=web"})
	check(t, err)
	if len(config.Items) != 1 || len(config.Items[0].Data) != 1 {
		t.Errorf("the configuration holds %v", config.Items)
	}
	if err := s.bring(&ipaasv1.ApplyConfigRequest{App: app, Release: 4, Secrets: []*ipaasv1.SecretContent{{Name: "projects/other/secrets/db", Version: secretVersion("a")}}}); !fault.HasReason(err, "SECRET_NAME") {
		t.Errorf("a secret of others: %v, want SECRET_NAME", err)
	}
	check(t, s.delete(app, 10))
	left, err := secrets.List(t.Context(), metav1.ListOptions{})
	check(t, err)
	if len(left.Items) != 0 {
		t.Errorf("%d secrets outlive the app", len(left.Items))
	}
}

func nfsVolume(project, path string) *gantryv1.Volume {
	return &gantryv1.Volume{Name: "projects/" + project + "/volumes/data", Capacity: "5Gi", Sources: []*gantryv1.VolumeSource{
		{Cluster: "clusters/site-t", Source: &gantryv1.VolumeSource_Nfs{Nfs: &gantryv1.NfsVolume{Server: "10.0.0.9", Path: path}}},
	}}
}

// settleVolume plays the controllers that let go of what is deleted.
func (s *site) settleVolume(t *testing.T, project string) {
	t.Helper()
	none := []byte(`{"metadata":{"finalizers":null}}`)
	_, err := s.Admin.CoreV1().PersistentVolumeClaims("gantry-"+project).Patch(t.Context(), "data", types.MergePatchType, none, metav1.PatchOptions{})
	check(t, passNotFound(err))
	_, err = s.Admin.CoreV1().PersistentVolumes().Patch(t.Context(), "gantry-"+project+".data", types.MergePatchType, none, metav1.PatchOptions{})
	check(t, passNotFound(err))
}

func passNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// Storage that is there is bound to the project's claim, is never provisioned
// or deleted, and is known as long as an app uses it.
func volumesAreBoundToTheProject(t *testing.T, s *site) {
	const ns = "gantry-vol"
	volumes, claims := s.Admin.CoreV1().PersistentVolumes(), s.Admin.CoreV1().PersistentVolumeClaims(ns)
	for release, app := range []string{"web", "api", "web"} {
		check(t, s.bring(&ipaasv1.ApplyConfigRequest{App: "projects/vol/apps/" + app, Release: int32(release + 1), Volumes: []*gantryv1.Volume{nfsVolume("vol", "/exports/vol")}}))
	}
	v, err := volumes.Get(t.Context(), "gantry-vol.data", metav1.GetOptions{})
	check(t, err)
	if v.Spec.NFS.Server != "10.0.0.9" || v.Spec.NFS.Path != "/exports/vol" || v.Spec.StorageClassName != "" || v.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimRetain ||
		v.Spec.ClaimRef.Namespace != ns || v.Spec.ClaimRef.Name != "data" || v.Spec.Capacity.Storage().String() != "5Gi" {
		t.Errorf("volume %v", v.Spec)
	}
	c, err := claims.Get(t.Context(), "data", metav1.GetOptions{})
	check(t, err)
	if *c.Spec.StorageClassName != "" || c.Spec.VolumeName != v.Name || c.Annotations["gantry.dev/used-by"] != "api,web" {
		t.Errorf("claim %v, used by %q", c.Spec, c.Annotations)
	}
	w := workload("projects/vol/apps/web", 1)
	w.Spec.Volumes = []*gantryv1.VolumeMount{{Volume: "projects/vol/volumes/data", Path: "/data"}, {Volume: "projects/vol/volumes/data", Path: "/old", ReadOnly: true}}
	_, err = s.apply(w)
	check(t, err)
	pod := s.deployment(t, ns, "web").Spec.Template.Spec
	mounts := pod.Containers[0].VolumeMounts
	if len(pod.Volumes) != 1 || pod.Volumes[0].PersistentVolumeClaim.ClaimName != "data" || mounts[0].MountPath != "/data" || mounts[0].ReadOnly || !mounts[1].ReadOnly {
		t.Errorf("the pod has %v at %v", pod.Volumes, mounts)
	}
	check(t, s.delete("projects/vol/apps/web", 10))
	c, err = claims.Get(t.Context(), "data", metav1.GetOptions{})
	check(t, err)
	if c.DeletionTimestamp != nil || c.Annotations["gantry.dev/used-by"] != "api" {
		t.Errorf("the claim that another app uses: %v %v", c.DeletionTimestamp, c.Annotations)
	}
	check(t, s.delete("projects/vol/apps/api", 10))
	s.settleVolume(t, "vol")
	if _, err := claims.Get(t.Context(), "data", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the claim outlives its apps: %v", err)
	}
	if _, err := volumes.Get(t.Context(), "gantry-vol.data", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the volume outlives its apps: %v", err)
	}
}

// A source that Kubernetes cannot change is replaced when no pod uses it; a
// claim that was lost is bound anew.
func anotherSourceIsAnotherVolume(t *testing.T, s *site) {
	bring := func(path string) error {
		return s.bring(&ipaasv1.ApplyConfigRequest{App: "projects/move/apps/web", Release: 1, Volumes: []*gantryv1.Volume{nfsVolume("move", path)}})
	}
	check(t, bring("/exports/a"))
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web-1"}, Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Name: "app", Image: "hello"}},
		Volumes: []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"},
		}}},
	}}
	pods := s.Admin.CoreV1().Pods("gantry-move")
	_, err := pods.Create(t.Context(), pod, metav1.CreateOptions{})
	check(t, err)
	if err := bring("/exports/b"); !fault.HasReason(err, "VOLUME_IN_USE") || !strings.Contains(err.Error(), "web-1") {
		t.Errorf("under a pod: %v, want VOLUME_IN_USE by web-1", err)
	}
	check(t, pods.Delete(t.Context(), "web-1", metav1.DeleteOptions{GracePeriodSeconds: new(int64)}))
	for range 2 { // until Kubernetes confirms, it is asked again
		if err := bring("/exports/b"); !fault.HasReason(err, "VOLUME_TERMINATING") {
			t.Errorf("%v, want VOLUME_TERMINATING", err)
		}
	}
	s.settleVolume(t, "move")
	check(t, bring("/exports/b"))
	volumes := s.Admin.CoreV1().PersistentVolumes()
	v, err := volumes.Get(t.Context(), "gantry-move.data", metav1.GetOptions{})
	check(t, err)
	if v.Spec.NFS.Path != "/exports/b" {
		t.Errorf("the source is %v", v.Spec.NFS)
	}
	// Bound by the controller to a claim that somebody has deleted since.
	_, err = volumes.Patch(t.Context(), v.Name, types.MergePatchType, []byte(`{"spec":{"claimRef":{"uid":"gone"}}}`), metav1.PatchOptions{})
	check(t, err)
	if err := bring("/exports/b"); !fault.HasReason(err, "VOLUME_TERMINATING") {
		t.Errorf("bound to nothing: %v, want VOLUME_TERMINATING", err)
	}
	s.settleVolume(t, "move")
	check(t, bring("/exports/b"))
}

// What somebody else has made under the same name stays theirs (rule K1).
func volumesOfOthersStay(t *testing.T, s *site) {
	ctx := t.Context()
	_, err := s.Admin.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "gantry-theirs"}}, metav1.CreateOptions{})
	check(t, err)
	claims := s.Admin.CoreV1().PersistentVolumeClaims("gantry-theirs")
	theirs := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "data"}, Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
	}}
	_, err = claims.Create(ctx, theirs, metav1.CreateOptions{})
	check(t, err)
	err = s.bring(&ipaasv1.ApplyConfigRequest{App: "projects/theirs/apps/web", Release: 1, Volumes: []*gantryv1.Volume{nfsVolume("theirs", "/x")}})
	if !fault.HasReason(err, "NOT_GANTRYS") {
		t.Errorf("%v, want NOT_GANTRYS", err)
	}
	check(t, s.delete("projects/theirs/apps/web", 10))
	if c, err := claims.Get(ctx, "data", metav1.GetOptions{}); err != nil || c.DeletionTimestamp != nil {
		t.Errorf("their claim was touched: %v %v", c, err)
	}
}

// A directory of the nodes and a CSI volume are what Kubernetes takes.
func sourcesOfEveryKind(t *testing.T, s *site) {
	for name, source := range map[string]*gantryv1.VolumeSource{
		"directory": {Source: &gantryv1.VolumeSource_Directory{Directory: "/mnt/shared/pay"}, Cluster: "clusters/site-t"},
		"csi": {Cluster: "clusters/site-t", Source: &gantryv1.VolumeSource_Csi{Csi: &gantryv1.CsiVolume{
			Driver: "cephfs.csi.ceph.com", VolumeHandle: "x1", Attributes: map[string]string{"fsName": "pay"}, NodeSecret: "ceph/node",
		}}},
	} {
		v := &gantryv1.Volume{Name: fmt.Sprintf("projects/kinds/volumes/%s", name), Sources: []*gantryv1.VolumeSource{source}}
		check(t, s.bring(&ipaasv1.ApplyConfigRequest{App: "projects/kinds/apps/web", Release: 1, Volumes: []*gantryv1.Volume{v}}))
	}
	volumes := s.Admin.CoreV1().PersistentVolumes()
	directory, err := volumes.Get(t.Context(), "gantry-kinds.directory", metav1.GetOptions{})
	check(t, err)
	if h := directory.Spec.HostPath; h.Path != "/mnt/shared/pay" || *h.Type != corev1.HostPathDirectory || directory.Spec.Capacity.Storage().String() != "1Gi" {
		t.Errorf("directory %v", directory.Spec)
	}
	csi, err := volumes.Get(t.Context(), "gantry-kinds.csi", metav1.GetOptions{})
	check(t, err)
	if c := csi.Spec.CSI; c.Driver != "cephfs.csi.ceph.com" || c.VolumeHandle != "x1" || c.VolumeAttributes["fsName"] != "pay" || c.NodeStageSecretRef.Namespace != "ceph" || c.NodeStageSecretRef.Name != "node" {
		t.Errorf("csi %v", csi.Spec.CSI)
	}
}

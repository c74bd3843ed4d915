package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// secretAPI holds secrets as the platform shows them; the app web uses db.
type secretAPI struct {
	gantryv1.UnimplementedSecretServiceServer
	*platform
}

func (s secretAPI) UpdateSecret(_ context.Context, r *gantryv1.UpdateSecretRequest) (*gantryv1.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	content, err := json.Marshal(r.GetSecret().GetData())
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	out := &gantryv1.Secret{
		Name: r.GetSecret().GetName(), Keys: slices.Sorted(maps.Keys(r.GetSecret().GetData())), Version: "sha256:" + hex.EncodeToString(sum[:]),
		CreateTime: timestamppb.New(epoch), Etag: "7",
	}
	if strings.HasSuffix(out.GetName(), "/db") {
		out.UsedBy = []string{"projects/hello/apps/web", "projects/hello/routes/web"}
	}
	if !r.GetValidateOnly() {
		s.secrets[out.GetName()] = out
		s.contents[out.GetName()] = r.GetSecret().GetData()
		s.released = s.released || r.GetReleaseApps()
	}
	return proto.CloneOf(out), nil
}

func (s secretAPI) GetSecret(_ context.Context, r *gantryv1.GetSecretRequest) (*gantryv1.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found, ok := s.secrets[r.GetName()]; ok {
		return proto.CloneOf(found), nil
	}
	return nil, fault.NotFound("SECRET_NOT_FOUND", "there is no %s", r.GetName())
}

func (s secretAPI) ListSecrets(context.Context, *gantryv1.ListSecretsRequest) (*gantryv1.ListSecretsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &gantryv1.ListSecretsResponse{}
	for _, name := range slices.Sorted(maps.Keys(s.secrets)) {
		out.Secrets = append(out.Secrets, proto.CloneOf(s.secrets[name]))
	}
	return out, nil
}

func (s secretAPI) DeleteSecret(_ context.Context, r *gantryv1.DeleteSecretRequest) (*emptypb.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.secrets, r.GetName())
	return &emptypb.Empty{}, nil
}

// volumeAPI holds volumes.
type volumeAPI struct {
	gantryv1.UnimplementedVolumeServiceServer
	*platform
}

func (v volumeAPI) UpdateVolume(_ context.Context, r *gantryv1.UpdateVolumeRequest) (*gantryv1.Volume, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	out := proto.CloneOf(r.GetVolume())
	out.CreateTime, out.Etag = timestamppb.New(epoch), "8"
	if !r.GetValidateOnly() {
		v.volumes[out.GetName()] = out
	}
	return proto.CloneOf(out), nil
}

func (v volumeAPI) GetVolume(_ context.Context, r *gantryv1.GetVolumeRequest) (*gantryv1.Volume, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if found, ok := v.volumes[r.GetName()]; ok {
		return proto.CloneOf(found), nil
	}
	return nil, fault.NotFound("VOLUME_NOT_FOUND", "there is no %s", r.GetName())
}

func (v volumeAPI) ListVolumes(context.Context, *gantryv1.ListVolumesRequest) (*gantryv1.ListVolumesResponse, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	out := &gantryv1.ListVolumesResponse{}
	for _, name := range slices.Sorted(maps.Keys(v.volumes)) {
		out.Volumes = append(out.Volumes, proto.CloneOf(v.volumes[name]))
	}
	return out, nil
}

func (v volumeAPI) DeleteVolume(_ context.Context, r *gantryv1.DeleteVolumeRequest) (*emptypb.Empty, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.volumes, r.GetName())
	return &emptypb.Empty{}, nil
}

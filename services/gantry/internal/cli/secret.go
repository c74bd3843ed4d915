package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/client"
	"gantry.dev/services/gantry/internal/output"
	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
)

// maxValueBytes bounds what is read of a file for a secret; the platform takes
// less.
const maxValueBytes = 1 << 20

// secretOptions are the flags of `gantry secret set`.
type secretOptions struct {
	literals, files []string
	releaseApps     bool
	dryRun          bool
}

func (s *runner) secretCommand() *cobra.Command {
	return group("secret", "Values that only the apps that ask for them see", s.secretSetCommand())
}

func (s *runner) secretSetCommand() *cobra.Command {
	var o secretOptions
	cmd := &cobra.Command{
		Use:   "set NAME --from-literal KEY=VALUE --from-file KEY=PATH",
		Short: "Make a secret, or replace what it contains",
		Long: `Makes a secret, or replaces everything that it contains. Apps that use it go on
with what they have until their next release; routes take it at once. Nobody can
read a secret back: "gantry get secret NAME" shows its keys only.

A value on the command line is seen by other users of this machine and kept in
the shell's history: --from-file KEY=- reads it from standard input.`,
		Example: "  gantry secret set db --from-literal user=pay --from-file password=- < password.txt\n  gantry secret set web-tls --from-file tls.crt=chain.pem --from-file tls.key=key.pem\n  gantry secret set db --from-file password=new.txt --release-apps",
		Args:    cobra.ExactArgs(1),
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&o.literals, "from-literal", nil, "KEY=VALUE; may be repeated")
	flags.StringArrayVar(&o.files, "from-file", nil, "KEY=PATH, or PATH to take its base name as the key; - is standard input; may be repeated")
	flags.BoolVar(&o.releaseApps, "release-apps", false, "make a new release of every app that uses it, so that it restarts with the new content")
	flags.BoolVar(&o.dryRun, "dry-run", false, "let the platform check everything, change nothing")
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		return s.completeOne(cmd, args, "secrets")
	}
	cmd.RunE = s.withClient(callTimeout, func(ctx context.Context, c *client.Client, args []string) error {
		target, err := s.oneTarget([]string{"secret", strings.TrimPrefix(args[0], "secret/")}, "secret")
		if err != nil {
			return err
		}
		data, err := s.secretData(o)
		if err != nil {
			return err
		}
		return s.setSecret(ctx, c, &gantryv1.Secret{Name: target.name, Data: data}, o)
	})
	return cmd
}

// secretData reads what the flags name.
func (s *runner) secretData(o secretOptions) (map[string][]byte, error) {
	data := map[string][]byte{}
	put := func(key string, value []byte) error {
		if _, twice := data[key]; twice {
			return usage("the key %s is given twice", key)
		}
		data[key] = value
		return nil
	}
	for _, literal := range o.literals {
		key, value, ok := strings.Cut(literal, "=")
		if !ok || key == "" {
			return nil, usage("write --from-literal KEY=VALUE") // what was written may be the secret
		}
		if err := put(key, []byte(value)); err != nil {
			return nil, err
		}
	}
	for _, file := range o.files {
		key, path, ok := strings.Cut(file, "=")
		if !ok {
			key, path = filepath.Base(file), file
		}
		value, err := s.readValue(path)
		if err != nil {
			return nil, err
		}
		if err := put(key, value); err != nil {
			return nil, err
		}
	}
	if len(data) == 0 {
		return nil, usage("say what it contains with --from-literal KEY=VALUE or --from-file KEY=PATH")
	}
	return data, nil
}

func (s *runner) readValue(path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(io.LimitReader(s.In, maxValueBytes))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fault.Invalid("FILE_UNREADABLE", "cannot read the value: %w", err)
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxValueBytes))
}

func (s *runner) setSecret(ctx context.Context, c *client.Client, secret *gantryv1.Secret, o secretOptions) error {
	outcome, err := applySecret(ctx, c, secret, o)
	if err != nil {
		return err
	}
	if o.dryRun {
		outcome += " (dry run)"
	}
	fmt.Fprintf(s.Out, "%s %s\n", output.ShortName(secret), outcome)
	if o.dryRun || outcome == created {
		return nil
	}
	return s.sayUsers(ctx, c, secret.GetName(), o.releaseApps)
}

// sayUsers tells which apps have the new content, or do not have it yet.
func (s *runner) sayUsers(ctx context.Context, c *client.Client, name string, released bool) error {
	now, err := c.Secrets.GetSecret(ctx, &gantryv1.GetSecretRequest{Name: name})
	if err != nil {
		return err
	}
	var apps []string
	for _, user := range now.GetUsedBy() {
		if strings.HasPrefix(output.Short(user), "app/") {
			apps = append(apps, output.Short(user))
		}
	}
	switch {
	case len(apps) == 0:
	case released:
		fmt.Fprintf(s.Err, "released with it: %s\n", strings.Join(apps, ", "))
	default:
		fmt.Fprintf(s.Err, "takes effect with the next release of %s; --release-apps makes one\n", strings.Join(apps, ", "))
	}
	return nil
}

func applySecret(ctx context.Context, c *client.Client, secret *gantryv1.Secret, o secretOptions) (string, error) {
	before, err := c.Secrets.GetSecret(ctx, &gantryv1.GetSecretRequest{Name: secret.GetName()})
	existed, err := found(err)
	if err != nil {
		return "", err
	}
	after, err := c.Secrets.UpdateSecret(ctx, &gantryv1.UpdateSecretRequest{
		Secret: secret, AllowMissing: true, ValidateOnly: o.dryRun, ReleaseApps: o.releaseApps, RequestId: uuid.NewString(),
	})
	return outcome(existed, secretWish(before), secretWish(after)), err
}

func secretWish(s *gantryv1.Secret) proto.Message { return &gantryv1.Secret{Version: s.GetVersion()} }

func applyVolume(ctx context.Context, c *client.Client, volume *gantryv1.Volume, dryRun bool) (string, error) {
	before, err := c.Volumes.GetVolume(ctx, &gantryv1.GetVolumeRequest{Name: volume.GetName()})
	existed, err := found(err)
	if err != nil {
		return "", err
	}
	after, err := c.Volumes.UpdateVolume(ctx, &gantryv1.UpdateVolumeRequest{
		Volume: volume, AllowMissing: true, ValidateOnly: dryRun, RequestId: uuid.NewString(),
	})
	return outcome(existed, volumeWish(before), volumeWish(after)), err
}

func volumeWish(v *gantryv1.Volume) proto.Message {
	return &gantryv1.Volume{Name: v.GetName(), Capacity: v.GetCapacity(), Sources: v.GetSources()}
}

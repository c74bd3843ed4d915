// Command deps writes the .proto files that Gantry's API imports from other
// projects into a directory, printed from the descriptors in their Go modules.
// So the pinned Go modules are the only source and nothing is vendored.
package main

import (
	"fmt"
	"os"

	_ "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	_ "cloud.google.com/go/longrunning/autogen/longrunningpb"
	"github.com/jhump/protoreflect/desc"
	"github.com/jhump/protoreflect/desc/protoprint"
	_ "google.golang.org/genproto/googleapis/api/annotations"
)

// imported are the files that Gantry's own .proto files import.
func imported() []string {
	return []string{
		"buf/validate/validate.proto",
		"google/api/annotations.proto",
		"google/longrunning/operations.proto",
	}
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: deps DIR")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "deps:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	var files []*desc.FileDescriptor
	seen := map[string]bool{}
	for _, path := range imported() {
		file, err := desc.LoadFileDescriptor(path)
		if err != nil {
			return fmt.Errorf("load %s: %w", path, err)
		}
		files = appendWithImports(files, file, seen)
	}
	printer := protoprint.Printer{Compact: true}
	return printer.PrintProtosToFileSystem(files, dir)
}

// appendWithImports adds file and what it imports, without the well-known
// google/protobuf files, which every compiler brings along.
func appendWithImports(files []*desc.FileDescriptor, file *desc.FileDescriptor, seen map[string]bool) []*desc.FileDescriptor {
	if seen[file.GetName()] || file.GetPackage() == "google.protobuf" {
		return files
	}
	seen[file.GetName()] = true
	for _, dep := range file.GetDependencies() {
		files = appendWithImports(files, dep, seen)
	}
	return append(files, file)
}

//go:build linux

package bed

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
)

// imageStore knows the static binary that stands for each image.
type imageStore struct {
	binaries map[string]string // by repository
}

func newImageStore(images map[string]string) (*imageStore, error) {
	for repository, binary := range images {
		if imageRepository(repository) != repository {
			return nil, fmt.Errorf("image %q: want a repository without tag or digest", repository)
		}
		if err := checkStatic(binary); err != nil {
			return nil, fmt.Errorf("image %q: %w", repository, err)
		}
	}
	return &imageStore{binaries: maps.Clone(images)}, nil
}

// checkStatic refuses a binary that needs a loader, which a pod's root folder does
// not have; the kernel's own message for it is only "no such file or directory".
func checkStatic(binary string) error {
	file, err := elf.Open(binary)
	if err != nil {
		return fmt.Errorf("open binary: %w", err)
	}
	defer file.Close()
	for _, program := range file.Progs {
		if program.Type == elf.PT_INTERP {
			return fmt.Errorf("binary %q is dynamically linked: build it with CGO_ENABLED=0", binary)
		}
	}
	return nil
}

// binary returns the binary of an image and the path that it has inside a pod.
func (s *imageStore) binary(image string) (binary, entrypoint string, ok bool) {
	repository := imageRepository(image)
	binary, ok = s.binaries[repository]
	return binary, "/" + path.Base(repository), ok
}

// install puts a binary at a path inside a pod's root folder.
func install(binary, root, inside string) error {
	target := filepath.Join(root, inside)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	err := os.Link(binary, target)
	if err == nil || errors.Is(err, os.ErrExist) {
		return nil
	}
	// Another file system, or a file that the kernel does not let us link.
	return copyFile(binary, target)
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copy binary: %w", err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return fmt.Errorf("copy binary: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, in); err != nil {
		return fmt.Errorf("copy binary: %w", err)
	}
	return nil
}

//go:build linux

package bed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// volumeSet holds a pod's volumes as folders of the machine, which pod-init mounts.
type volumeSet struct {
	podlet  *podlet
	pod     *corev1.Pod
	address netip.Addr
	dir     string
	content map[string]*contentDir // by volume name, of the volumes that have content
	tokens  map[string]issuedToken // by audience and lifetime
}

// volumeFile is one file of a volume.
type volumeFile struct {
	data []byte
	mode os.FileMode
}

// newVolumeSet makes the folders of the volumes, empty.
func newVolumeSet(p *podlet, pod *corev1.Pod, address netip.Addr) (*volumeSet, error) {
	s := &volumeSet{
		podlet: p, pod: pod, address: address,
		dir:     filepath.Join(p.podDir(pod), "volumes"),
		content: map[string]*contentDir{}, tokens: map[string]issuedToken{},
	}
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		dir := filepath.Join(s.dir, v.Name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("make volume %q: %w", v.Name, err)
		}
		mode := os.FileMode(0o755)
		switch {
		case v.EmptyDir != nil:
			mode = 0o777
		case v.Secret != nil, v.ConfigMap != nil, v.Projected != nil, v.DownwardAPI != nil:
			s.content[v.Name] = &contentDir{dir: dir, group: s.group()}
		default:
			return nil, fmt.Errorf("volume %q: the test bed knows emptyDir, secret, configMap, downwardAPI and projected volumes only", v.Name)
		}
		if err := os.Chmod(dir, mode); err != nil {
			return nil, fmt.Errorf("make volume %q: %w", v.Name, err)
		}
	}
	return s, nil
}

// group owns the files of the pod's volumes: its fsGroup, or -1 for none.
func (s *volumeSet) group() int {
	context := s.pod.Spec.SecurityContext
	if context == nil || context.FSGroup == nil || !s.podlet.ids.hasGroup(*context.FSGroup) {
		return -1
	}
	return int(*context.FSGroup)
}

// refresh fetches the volumes' content and replaces what has changed.
func (s *volumeSet) refresh(ctx context.Context) error {
	for i := range s.pod.Spec.Volumes {
		v := &s.pod.Spec.Volumes[i]
		dir := s.content[v.Name]
		if dir == nil {
			continue
		}
		files, err := s.fetch(ctx, v)
		if err == nil {
			err = dir.replace(files)
		}
		if err != nil {
			return fmt.Errorf("volume %q: %w", v.Name, err)
		}
	}
	return nil
}

// mounts says where the container wants its volumes.
func (s *volumeSet) mounts(c *corev1.Container) ([]mount, error) {
	var mounts []mount
	for _, m := range c.VolumeMounts {
		if m.SubPathExpr != "" {
			return nil, fmt.Errorf("volume mount %q: the test bed doesn't know subPathExpr", m.Name)
		}
		if !slices.ContainsFunc(s.pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name }) {
			return nil, fmt.Errorf("volume mount %q: no such volume", m.Name)
		}
		if m.SubPath != "" && !filepath.IsLocal(m.SubPath) {
			return nil, fmt.Errorf("volume mount %q: subPath %q is not a path inside the volume", m.Name, m.SubPath)
		}
		source := filepath.Join(s.dir, m.Name, m.SubPath)
		content := s.content[m.Name] != nil
		if m.SubPath != "" && !content {
			if err := os.MkdirAll(source, 0o777); err != nil {
				return nil, fmt.Errorf("volume mount %q: %w", m.Name, err)
			}
		}
		mounts = append(mounts, mount{Source: source, Target: m.MountPath, ReadOnly: m.ReadOnly || content})
	}
	return mounts, nil
}

func (s *volumeSet) fetch(ctx context.Context, v *corev1.Volume) (map[string]volumeFile, error) {
	switch {
	case v.Secret != nil:
		return s.secret(ctx, v.Secret.SecretName, v.Secret.Items, fileMode(v.Secret.DefaultMode), v.Secret.Optional)
	case v.ConfigMap != nil:
		return s.configMap(ctx, v.ConfigMap.Name, v.ConfigMap.Items, fileMode(v.ConfigMap.DefaultMode), v.ConfigMap.Optional)
	case v.DownwardAPI != nil:
		return s.downwardAPI(v.DownwardAPI.Items, fileMode(v.DownwardAPI.DefaultMode))
	}
	all := map[string]volumeFile{}
	mode := fileMode(v.Projected.DefaultMode)
	for _, source := range v.Projected.Sources {
		var files map[string]volumeFile
		var err error
		switch {
		case source.Secret != nil:
			files, err = s.secret(ctx, source.Secret.Name, source.Secret.Items, mode, source.Secret.Optional)
		case source.ConfigMap != nil:
			files, err = s.configMap(ctx, source.ConfigMap.Name, source.ConfigMap.Items, mode, source.ConfigMap.Optional)
		case source.DownwardAPI != nil:
			files, err = s.downwardAPI(source.DownwardAPI.Items, mode)
		case source.ServiceAccountToken != nil:
			files, err = s.token(ctx, source.ServiceAccountToken, mode)
		default:
			err = errors.New("the test bed doesn't know this source of a projected volume")
		}
		if err != nil {
			return nil, err
		}
		maps.Copy(all, files)
	}
	return all, nil
}

func fileMode(mode *int32) os.FileMode {
	if mode == nil {
		return 0o644
	}
	return os.FileMode(*mode)
}

func (s *volumeSet) secret(ctx context.Context, name string, items []corev1.KeyToPath, mode os.FileMode, optional *bool) (map[string]volumeFile, error) {
	object, err := s.podlet.client.CoreV1().Secrets(s.pod.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, ignoreMissing(err, optional)
	}
	return pick(object.Data, items, mode, optional)
}

func (s *volumeSet) configMap(ctx context.Context, name string, items []corev1.KeyToPath, mode os.FileMode, optional *bool) (map[string]volumeFile, error) {
	object, err := s.podlet.client.CoreV1().ConfigMaps(s.pod.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, ignoreMissing(err, optional)
	}
	data := maps.Clone(object.BinaryData)
	if data == nil {
		data = map[string][]byte{}
	}
	for key, value := range object.Data {
		data[key] = []byte(value)
	}
	return pick(data, items, mode, optional)
}

// pick selects the keys that a volume wants: all without items.
func pick(data map[string][]byte, items []corev1.KeyToPath, mode os.FileMode, optional *bool) (map[string]volumeFile, error) {
	files := map[string]volumeFile{}
	if len(items) == 0 {
		for key, value := range data {
			files[key] = volumeFile{data: value, mode: mode}
		}
		return files, nil
	}
	for _, item := range items {
		value, ok := data[item.Key]
		if err := requireKey(ok, item.Key, optional); err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		file := volumeFile{data: value, mode: mode}
		if item.Mode != nil {
			file.mode = os.FileMode(*item.Mode)
		}
		files[item.Path] = file
	}
	return files, nil
}

func (s *volumeSet) downwardAPI(items []corev1.DownwardAPIVolumeFile, mode os.FileMode) (map[string]volumeFile, error) {
	files := map[string]volumeFile{}
	for _, item := range items {
		if item.FieldRef == nil {
			return nil, fmt.Errorf("file %q: the test bed knows fieldRef only", item.Path)
		}
		value, err := fieldValue(s.pod, item.FieldRef.FieldPath, s.address)
		if err != nil {
			return nil, fmt.Errorf("file %q: %w", item.Path, err)
		}
		file := volumeFile{data: []byte(value), mode: mode}
		if item.Mode != nil {
			file.mode = os.FileMode(*item.Mode)
		}
		files[item.Path] = file
	}
	return files, nil
}

// issuedToken is a service account token until it needs renewal.
type issuedToken struct {
	value []byte
	renew time.Time
}

// token gets a token that is bound to the pod, anew after four fifths of its life.
func (s *volumeSet) token(ctx context.Context, projection *corev1.ServiceAccountTokenProjection, mode os.FileMode) (map[string]volumeFile, error) {
	seconds := int64(3600)
	if projection.ExpirationSeconds != nil {
		seconds = *projection.ExpirationSeconds
	}
	key := fmt.Sprint(projection.Audience, " ", seconds)
	token, ok := s.tokens[key]
	if !ok || time.Now().After(token.renew) {
		request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
			ExpirationSeconds: &seconds,
			BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: s.pod.Name, UID: s.pod.UID},
		}}
		if projection.Audience != "" {
			request.Spec.Audiences = []string{projection.Audience}
		}
		asked := time.Now()
		answer, err := s.podlet.client.CoreV1().ServiceAccounts(s.pod.Namespace).CreateToken(ctx, s.pod.Spec.ServiceAccountName, request, metav1.CreateOptions{})
		switch {
		case err == nil:
			life := time.Duration(seconds) * time.Second
			token = issuedToken{value: []byte(answer.Status.Token), renew: asked.Add(life * 4 / 5)}
			s.tokens[key] = token
		case !ok || apierrors.IsNotFound(err):
			return nil, fmt.Errorf("get a token of service account %q: %w", s.pod.Spec.ServiceAccountName, err)
		default:
			// The old one is good for some time still; the next refresh tries again.
			s.podlet.log.Warn("can't renew the service account token", "pod", podKey(s.pod), "err", err)
		}
	}
	return map[string]volumeFile{projection.Path: {data: token.value, mode: mode}}, nil
}

// contentDir is a folder whose files change all at once: they are links through
// the link ..data, which is swapped, as in the kubelet's volumes.
type contentDir struct {
	dir     string
	group   int
	files   map[string]volumeFile
	version int
}

const currentData = "..data"

func (d *contentDir) replace(files map[string]volumeFile) error {
	if d.files != nil && maps.EqualFunc(d.files, files, func(a, b volumeFile) bool {
		return a.mode == b.mode && bytes.Equal(a.data, b.data)
	}) {
		return nil
	}
	old := fmt.Sprintf("..%d", d.version)
	d.version++
	current := fmt.Sprintf("..%d", d.version)
	for name, file := range files {
		if err := d.write(filepath.Join(d.dir, current), name, file); err != nil {
			return fmt.Errorf("write %q: %w", name, err)
		}
	}
	if len(files) == 0 {
		if err := makeFolder(filepath.Join(d.dir, current)); err != nil {
			return err
		}
	}
	link := filepath.Join(d.dir, currentData)
	if err := replaceLink(current, link); err != nil {
		return err
	}
	wanted := map[string]bool{}
	for name := range files {
		top, _, _ := strings.Cut(name, "/")
		wanted[top] = true
		if err := replaceLink(filepath.Join(currentData, top), filepath.Join(d.dir, top)); err != nil {
			return err
		}
	}
	for name := range d.files {
		if top, _, _ := strings.Cut(name, "/"); !wanted[top] {
			if err := os.RemoveAll(filepath.Join(d.dir, top)); err != nil {
				return fmt.Errorf("remove %q: %w", name, err)
			}
		}
	}
	d.files = files
	if err := os.RemoveAll(filepath.Join(d.dir, old)); err != nil {
		return fmt.Errorf("remove the old content: %w", err)
	}
	return nil
}

func (d *contentDir) write(dir, name string, file volumeFile) error {
	if !filepath.IsLocal(name) {
		return errors.New("not a path inside the volume")
	}
	target := filepath.Join(dir, name)
	if err := makeFolder(filepath.Dir(target)); err != nil {
		return err
	}
	if err := os.WriteFile(target, file.data, 0o600); err != nil {
		return err
	}
	mode := file.mode
	if d.group >= 0 {
		if err := os.Chown(target, -1, d.group); err != nil {
			return err
		}
		mode |= 0o440
	}
	return os.Chmod(target, mode)
}

// replaceLink points a symbolic link elsewhere, in one step.
func replaceLink(to, link string) error {
	if at, err := os.Readlink(link); err == nil && at == to {
		return nil
	}
	fresh := link + ".new"
	if err := os.Symlink(to, fresh); err != nil {
		return fmt.Errorf("make a link: %w", err)
	}
	if err := os.Rename(fresh, link); err != nil {
		return fmt.Errorf("swap a link: %w", err)
	}
	return nil
}

func makeFolder(path string) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

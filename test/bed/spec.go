//go:build linux

package bed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// nonRootUser is who runAsNonRoot without runAsUser means: the user of the usual
// base images without a shell.
const nonRootUser = 65532

// processSpec says how to run a pod's container, and makes its root folder anew
// with the image's binary in it.
func (p *podlet) processSpec(ctx context.Context, pod *corev1.Pod, c *corev1.Container, address netip.Addr, volumes *volumeSet) (*processSpec, error) {
	root := filepath.Join(p.podDir(pod), "root")
	if err := os.RemoveAll(root); err != nil {
		return nil, fmt.Errorf("remove the old root folder: %w", err)
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, fmt.Errorf("make the root folder: %w", err)
	}
	if err := os.Chmod(root, 0o755); err != nil {
		return nil, fmt.Errorf("open the root folder: %w", err)
	}
	env, err := p.environment(ctx, pod, c, address)
	if err != nil {
		return nil, err
	}
	runAs, err := p.user(pod, c)
	if err != nil {
		return nil, err
	}
	mounts, err := volumes.mounts(c)
	if err != nil {
		return nil, err
	}
	spec := &processSpec{
		Root: root, Mounts: mounts, Hostname: hostname(pod), Address: address.String(), Dir: c.WorkingDir, User: runAs,
	}
	if s := c.SecurityContext; s != nil && s.ReadOnlyRootFilesystem != nil {
		spec.ReadOnlyRoot = *s.ReadOnlyRootFilesystem
	}
	for _, e := range env {
		spec.Env = append(spec.Env, e.name+"="+e.value)
	}
	binary, entrypoint, known := p.images.binary(c.Image)
	if !known {
		return spec, nil
	}
	command := append(expandAll(c.Command, env), expandAll(c.Args, env)...)
	if len(c.Command) == 0 {
		command = append([]string{entrypoint}, command...)
	} else if !path.IsAbs(command[0]) {
		command[0] = "/" + command[0]
	}
	spec.Argv = command
	for _, inside := range []string{entrypoint, command[0]} {
		if err := install(binary, root, inside); err != nil {
			return nil, err
		}
	}
	return spec, nil
}

func hostname(pod *corev1.Pod) string {
	name := pod.Name
	if pod.Spec.Hostname != "" {
		name = pod.Spec.Hostname
	}
	return name[:min(len(name), 63)]
}

// user resolves the security contexts of pod and container.
func (p *podlet) user(pod *corev1.Pod, c *corev1.Container) (user, error) {
	context := pod.Spec.SecurityContext
	if context == nil {
		context = &corev1.PodSecurityContext{}
	}
	uid, gid, nonRoot := context.RunAsUser, context.RunAsGroup, context.RunAsNonRoot
	if own := c.SecurityContext; own != nil {
		uid, gid, nonRoot = firstSet(own.RunAsUser, uid), firstSet(own.RunAsGroup, gid), firstSet(own.RunAsNonRoot, nonRoot)
	}
	var result user
	switch {
	case uid != nil:
		result.UID = int(*uid)
	case nonRoot != nil && *nonRoot:
		result.UID, result.GID = nonRootUser, nonRootUser
	}
	if nonRoot != nil && *nonRoot && result.UID == 0 {
		return user{}, errors.New("container has runAsNonRoot and runAsUser 0")
	}
	if gid != nil {
		result.GID = int(*gid)
	}
	for _, id := range context.SupplementalGroups {
		result.Groups = append(result.Groups, int(id))
	}
	if context.FSGroup != nil {
		result.Groups = append(result.Groups, int(*context.FSGroup))
	}
	if p.ids.single {
		return user{Unchanged: true}, nil
	}
	if !p.ids.hasUser(int64(result.UID)) || !p.ids.hasGroup(int64(result.GID)) {
		return user{}, fmt.Errorf("user %d, group %d is not in this user namespace", result.UID, result.GID)
	}
	return result, nil
}

func firstSet[T any](values ...*T) *T {
	for _, v := range values {
		if v != nil {
			return v
		}
	}
	return nil
}

type variable struct{ name, value string }

// environment resolves the container's variables, in the kubelet's order.
func (p *podlet) environment(ctx context.Context, pod *corev1.Pod, c *corev1.Container, address netip.Addr) ([]variable, error) {
	env := []variable{
		{"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		{"HOSTNAME", hostname(pod)},
		{"KUBERNETES_SERVICE_HOST", nodeAddress},
		{"KUBERNETES_SERVICE_PORT", apiServerPort},
		{"KUBERNETES_SERVICE_PORT_HTTPS", apiServerPort},
	}
	for _, source := range c.EnvFrom {
		data, err := p.envFrom(ctx, pod, source)
		if err != nil {
			return nil, fmt.Errorf("envFrom: %w", err)
		}
		for name, value := range data {
			env = append(env, variable{source.Prefix + name, value})
		}
	}
	for _, e := range c.Env {
		if e.ValueFrom == nil {
			env = append(env, variable{e.Name, expand(e.Value, env)})
			continue
		}
		value, found, err := p.variable(ctx, pod, c, address, e.ValueFrom)
		if err != nil {
			return nil, fmt.Errorf("variable %q: %w", e.Name, err)
		}
		if found {
			env = append(env, variable{e.Name, value})
		}
	}
	return env, nil
}

func (p *podlet) envFrom(ctx context.Context, pod *corev1.Pod, source corev1.EnvFromSource) (map[string]string, error) {
	switch {
	case source.ConfigMapRef != nil:
		object, err := p.client.CoreV1().ConfigMaps(pod.Namespace).Get(ctx, source.ConfigMapRef.Name, metav1.GetOptions{})
		if missing(err, source.ConfigMapRef.Optional) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		return object.Data, nil
	case source.SecretRef != nil:
		object, err := p.client.CoreV1().Secrets(pod.Namespace).Get(ctx, source.SecretRef.Name, metav1.GetOptions{})
		if missing(err, source.SecretRef.Optional) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		data := map[string]string{}
		for k, v := range object.Data {
			data[k] = string(v)
		}
		return data, nil
	}
	return nil, errors.New("neither a ConfigMap nor a Secret")
}

func missing(err error, optional *bool) bool {
	return apierrors.IsNotFound(err) && optional != nil && *optional
}

// variable resolves a valueFrom; found is false for an optional source that isn't
// there.
func (p *podlet) variable(ctx context.Context, pod *corev1.Pod, c *corev1.Container, address netip.Addr, from *corev1.EnvVarSource) (value string, found bool, err error) {
	switch {
	case from.FieldRef != nil:
		value, err = fieldValue(pod, from.FieldRef.FieldPath, address)
		return value, err == nil, err
	case from.ResourceFieldRef != nil:
		value, err = p.resourceValue(c, from.ResourceFieldRef)
		return value, err == nil, err
	case from.SecretKeyRef != nil:
		ref := from.SecretKeyRef
		object, err := p.client.CoreV1().Secrets(pod.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		if err != nil {
			return "", false, ignoreMissing(err, ref.Optional)
		}
		content, ok := object.Data[ref.Key]
		return string(content), ok, requireKey(ok, ref.Key, ref.Optional)
	case from.ConfigMapKeyRef != nil:
		ref := from.ConfigMapKeyRef
		object, err := p.client.CoreV1().ConfigMaps(pod.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		if err != nil {
			return "", false, ignoreMissing(err, ref.Optional)
		}
		content, ok := object.Data[ref.Key]
		return content, ok, requireKey(ok, ref.Key, ref.Optional)
	}
	return "", false, errors.New("the test bed doesn't know this source")
}

func ignoreMissing(err error, optional *bool) error {
	if missing(err, optional) {
		return nil
	}
	return err
}

func requireKey(ok bool, key string, optional *bool) error {
	if ok || optional != nil && *optional {
		return nil
	}
	return fmt.Errorf("no key %q", key)
}

var subscript = regexp.MustCompile(`^metadata\.(labels|annotations)\['(.+)'\]$`)

// fieldValue resolves a fieldRef of the downward API.
func fieldValue(pod *corev1.Pod, field string, address netip.Addr) (string, error) {
	switch field {
	case "metadata.name":
		return pod.Name, nil
	case "metadata.namespace":
		return pod.Namespace, nil
	case "metadata.uid":
		return string(pod.UID), nil
	case "metadata.labels":
		return formatMap(pod.Labels), nil
	case "metadata.annotations":
		return formatMap(pod.Annotations), nil
	case "spec.nodeName":
		return nodeName, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.podIP", "status.podIPs":
		return address.String(), nil
	case "status.hostIP", "status.hostIPs":
		return nodeAddress, nil
	}
	if match := subscript.FindStringSubmatch(field); match != nil {
		if match[1] == "labels" {
			return pod.Labels[match[2]], nil
		}
		return pod.Annotations[match[2]], nil
	}
	return "", fmt.Errorf("the test bed doesn't know the field %q", field)
}

// formatMap writes a map as the downward API does.
func formatMap(m map[string]string) string {
	var b strings.Builder
	for _, key := range sortedKeys(m) {
		fmt.Fprintf(&b, "%s=%q\n", key, m[key])
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// resourceValue resolves a resourceFieldRef: in units of the divisor, rounded up.
// Without a limit it is the Node's size, as from the kubelet.
func (p *podlet) resourceValue(c *corev1.Container, ref *corev1.ResourceFieldSelector) (string, error) {
	kind, name, _ := strings.Cut(ref.Resource, ".")
	list := c.Resources.Limits
	if kind == "requests" {
		list = c.Resources.Requests
	}
	quantity, ok := list[corev1.ResourceName(name)]
	if !ok {
		if quantity, ok = p.node.Status.Allocatable[corev1.ResourceName(name)]; !ok || kind == "requests" {
			quantity = resource.Quantity{}
		}
	}
	divisor := ref.Divisor
	if divisor.IsZero() {
		divisor = resource.MustParse("1")
	}
	switch name {
	case "cpu":
		return strconv.FormatInt(divideUp(quantity.MilliValue(), divisor.MilliValue()), 10), nil
	case "memory", "ephemeral-storage":
		return strconv.FormatInt(divideUp(quantity.Value(), divisor.Value()), 10), nil
	}
	return "", fmt.Errorf("the test bed doesn't know the resource %q", ref.Resource)
}

func divideUp(a, b int64) int64 { return (a + b - 1) / b }

var reference = regexp.MustCompile(`\$\$|\$\([A-Za-z_.-][A-Za-z0-9_.-]*\)`)

// expand replaces $(NAME) by the variable's value; $$ stands for one dollar sign
// and an unknown variable for itself.
func expand(text string, env []variable) string {
	return reference.ReplaceAllStringFunc(text, func(match string) string {
		if match == "$$" {
			return "$"
		}
		name := match[2 : len(match)-1]
		for _, e := range slices.Backward(env) {
			if e.name == name {
				return e.value
			}
		}
		return match
	})
}

func expandAll(texts []string, env []variable) []string {
	result := make([]string, 0, len(texts))
	for _, text := range texts {
		result = append(result, expand(text, env))
	}
	return result
}

package filesource

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/routing"
)

// step changes the files and says what is expected then.
type step struct {
	// write puts content into files, delete removes them.
	write        map[string]string
	remove       []string
	wantObjects  []string
	wantFindings []string
	// wantStatusCode tells the versions of the Pipeline apart; 0 where it doesn't matter.
	wantStatusCode int32
}

const inForce = " (the version that was accepted before stays in force)"

// A version that an API server would refuse leaves what was accepted before in force, as it does there.
func TestReload(t *testing.T) {
	otherPipeline := strings.Replace(pipelineYAML, "statusCode: 200", "statusCode: 404", 1)
	badPipeline := strings.Replace(pipelineYAML, "statusCode: 200", "statusCode: many", 1)
	badFinding := `a.yaml:1: error: Pipeline shop/orders: spec.policies[0].terminate.statusCode: Invalid value: "string": ` +
		"spec.policies[0].terminate.statusCode in body must be of type integer: \"string\""
	tests := map[string][]step{
		"an object that became invalid stays as it was": {
			{write: map[string]string{"a.yaml": pipelineYAML, "b.yaml": consumerYAML}, wantObjects: []string{"Consumer shop/acme", "Pipeline shop/orders"}},
			{
				write:        map[string]string{"a.yaml": badPipeline},
				wantObjects:  []string{"Consumer shop/acme", "Pipeline shop/orders"},
				wantFindings: []string{badFinding + inForce},
			},
			{write: map[string]string{"a.yaml": secretYAML}, wantObjects: []string{"Consumer shop/acme", "Secret shop/acme-jwt"}},
		},
		"an object that was never valid is absent": {
			{write: map[string]string{"a.yaml": badPipeline}, wantFindings: []string{badFinding}},
			{write: map[string]string{"a.yaml": pipelineYAML}, wantObjects: []string{"Pipeline shop/orders"}},
		},
		"a deleted object goes at once, whatever is wrong elsewhere": {
			{
				write:       map[string]string{"a.yaml": pipelineYAML, "b.yaml": consumerYAML + "---\n" + secretYAML},
				wantObjects: []string{"Consumer shop/acme", "Secret shop/acme-jwt", "Pipeline shop/orders"},
			},
			{
				write:        map[string]string{"a.yaml": badPipeline, "b.yaml": consumerYAML},
				wantObjects:  []string{"Consumer shop/acme", "Pipeline shop/orders"},
				wantFindings: []string{badFinding + inForce},
			},
			{remove: []string{"a.yaml", "b.yaml"}},
		},
		"a document that can't be read keeps what its file held": {
			{
				write:       map[string]string{"a.yaml": pipelineYAML + "---\n" + consumerYAML, "b.yaml": secretYAML},
				wantObjects: []string{"Consumer shop/acme", "Secret shop/acme-jwt", "Pipeline shop/orders"},
			},
			{
				write:       map[string]string{"a.yaml": "a: [\n"},
				remove:      []string{"b.yaml"},
				wantObjects: []string{"Consumer shop/acme", "Pipeline shop/orders"},
				wantFindings: []string{
					"a.yaml:1: error: yaml: line 1: did not find expected node content (objects that were accepted from here before and stay in force: 2)",
				},
			},
			{
				write:       map[string]string{"a.yaml": consumerYAML + "---\nkind: Pipeline\n---\na: [\n"},
				wantObjects: []string{"Consumer shop/acme", "Pipeline shop/orders"},
				wantFindings: []string{
					"a.yaml:6: error: Pipeline: apiVersion: Required value: write the API that Pipeline belongs to, such as ostiary.dev/v1alpha1" +
						" (objects that were accepted from here before and stay in force: 1)",
					"a.yaml:8: error: yaml: line 8: did not find expected node content",
				},
			},
			{write: map[string]string{"a.yaml": consumerYAML}, wantObjects: []string{"Consumer shop/acme"}},
		},
		"what a broken file held may be defined elsewhere meanwhile": {
			{write: map[string]string{"a.yaml": consumerYAML}, wantObjects: []string{"Consumer shop/acme"}},
			{
				write:       map[string]string{"a.yaml": "a: [\n", "b.yaml": strings.Replace(consumerYAML, "Application", "Robot", 1)},
				wantObjects: []string{"Consumer shop/acme"},
				wantFindings: []string{
					"a.yaml:1: error: yaml: line 1: did not find expected node content",
					`b.yaml:1: error: Consumer shop/acme: spec.type: Unsupported value: "Robot": supported values: "User", "Application"` + inForce,
				},
			},
			{remove: []string{"b.yaml"}, write: map[string]string{"a.yaml": ""}},
		},
		"a copy in a file that sorts first does not replace what is in force": {
			{write: map[string]string{"a.yaml": pipelineYAML}, wantObjects: []string{"Pipeline shop/orders"}},
			{
				write:       map[string]string{"0.yaml": otherPipeline},
				wantObjects: []string{"Pipeline shop/orders"},
				wantFindings: []string{
					"0.yaml:1: error: Pipeline shop/orders: is defined twice, also in a.yaml:1: that one is used, remove one of the two",
				},
				wantStatusCode: 200,
			},
			{ // it moves within its file, and is edited
				write:       map[string]string{"a.yaml": consumerYAML + "---\n" + strings.Replace(pipelineYAML, "statusCode: 200", "statusCode: 201", 1)},
				wantObjects: []string{"Consumer shop/acme", "Pipeline shop/orders"},
				wantFindings: []string{
					"0.yaml:1: error: Pipeline shop/orders: is defined twice, also in a.yaml:6: that one is used, remove one of the two",
				},
				wantStatusCode: 201,
			},
			{ // it becomes invalid: what was accepted stays, not the copy
				write:       map[string]string{"a.yaml": badPipeline},
				wantObjects: []string{"Pipeline shop/orders"},
				wantFindings: []string{
					"0.yaml:1: error: Pipeline shop/orders: is defined twice, also in a.yaml:1: that one is used, remove one of the two",
					badFinding + inForce,
				},
				wantStatusCode: 201,
			},
			{ // only the copy is left
				remove: []string{"a.yaml"}, wantObjects: []string{"Pipeline shop/orders"}, wantStatusCode: 404,
			},
		},
		"a copy above the one in force, in its file, does not replace it": {
			{write: map[string]string{"a.yaml": pipelineYAML}, wantObjects: []string{"Pipeline shop/orders"}},
			{
				write:       map[string]string{"a.yaml": otherPipeline + "---\n" + pipelineYAML},
				wantObjects: []string{"Pipeline shop/orders"},
				wantFindings: []string{
					"a.yaml:1: error: Pipeline shop/orders: is defined twice, also in a.yaml:13: that one is used, remove one of the two",
				},
				wantStatusCode: 200,
			},
		},
		"a file is renamed while there is a copy": {
			{write: map[string]string{"a.yaml": pipelineYAML}, wantObjects: []string{"Pipeline shop/orders"}},
			{
				remove:      []string{"a.yaml"},
				write:       map[string]string{"0.yaml": otherPipeline, "b.yaml": pipelineYAML},
				wantObjects: []string{"Pipeline shop/orders"},
				wantFindings: []string{
					"0.yaml:1: error: Pipeline shop/orders: is defined twice, also in b.yaml:1: that one is used, remove one of the two",
				},
				wantStatusCode: 200,
			},
		},
		"a copy does not replace what a file held that can't be read now": {
			{write: map[string]string{"a.yaml": pipelineYAML}, wantObjects: []string{"Pipeline shop/orders"}},
			{
				write:       map[string]string{"a.yaml": "a: [\n", "0.yaml": otherPipeline},
				wantObjects: []string{"Pipeline shop/orders"},
				wantFindings: []string{
					"0.yaml:1: error: Pipeline shop/orders: stays in force as it was in a.yaml, of which it is not known whether it still defines it: mend that file first",
					"a.yaml:1: error: yaml: line 1: did not find expected node content (objects that were accepted from here before and stay in force: 1)",
				},
				wantStatusCode: 200,
			},
			{
				write:       map[string]string{"a.yaml": consumerYAML},
				wantObjects: []string{"Consumer shop/acme", "Pipeline shop/orders"}, wantStatusCode: 404,
			},
		},
		"a file that can't be read keeps what it held": {
			{write: map[string]string{"d/a.yaml": consumerYAML}, wantObjects: []string{"Consumer shop/acme"}},
			{
				write:        map[string]string{"d/a.yaml": strings.Repeat("#", maxFileBytes+1)},
				wantObjects:  []string{"Consumer shop/acme"},
				wantFindings: []string{"d/a.yaml: error: can't be read: larger than 64 MiB (objects that were accepted from here before and stay in force: 1)"},
			},
			{remove: []string{"d"}},
		},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			directory := t.TempDir()
			s := newSource(t, directory)
			for i, step := range steps {
				for name, content := range step.write {
					path := filepath.Join(directory, name)
					if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				for _, name := range step.remove {
					if err := os.RemoveAll(filepath.Join(directory, name)); err != nil {
						t.Fatal(err)
					}
				}
				world, found, err := s.Load()
				if err != nil {
					t.Fatal(err)
				}
				objects, findings := names(world), relative(found, directory)
				if want := step.wantStatusCode; want != 0 && (len(world.pipelines) != 1 || world.pipelines[0].Spec.Policies[0].Terminate.StatusCode != want) {
					t.Errorf("step %d: the version of the Pipeline with status code %d is not in force", i, want)
				}
				if diff := cmp.Diff(step.wantObjects, objects); diff != "" {
					t.Errorf("step %d: objects (-want +got):\n%s", i, diff)
				}
				if diff := cmp.Diff(step.wantFindings, findings); diff != "" {
					t.Errorf("step %d: findings (-want +got):\n%s", i, diff)
				}
			}
		})
	}
}

func TestUnreadableDirectoriesKeepWhatTheyHeld(t *testing.T) {
	l := &loader{
		last: map[identity]*object{
			{Kind: "Consumer", Name: "in"}:  {file: "manifests/d/below/a.yaml"},
			{Kind: "Consumer", Name: "out"}: {file: "manifests/dd/a.yaml"},
		},
		objects: map[identity]*object{}, found: map[identity][]definition{}, lost: map[string]int{},
	}
	l.unreadable("manifests/d", &os.PathError{Op: "open", Path: "manifests/d", Err: os.ErrPermission})
	l.keepLost()
	if len(l.objects) != 1 || l.objects[identity{Kind: "Consumer", Name: "in"}] == nil {
		t.Errorf("kept %v", l.objects)
	}
	want := "manifests/d: error: can't be read: permission denied (objects that were accepted from here before and stay in force: 1)"
	if got := l.findings[0].String(); got != want {
		t.Errorf("finding %q, want %q", got, want)
	}
}

func TestLoadFollowsTheLinksOfAVolume(t *testing.T) {
	directory := write(t, map[string]string{"..v1/a.yaml": consumerYAML, "..v1/below/b.yaml": secretYAML, "..v2/a.yaml": pipelineYAML})
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(directory, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("..v1", "..data")
	link("..data/a.yaml", "a.yaml")
	link("..data/below", "below")
	link(".", "circle")
	link("nowhere.yaml", "gone.yaml")
	s := newSource(t, directory)
	objects, findings := load(t, s, directory)
	if diff := cmp.Diff([]string{"Consumer shop/acme", "Secret shop/acme-jwt"}, objects); diff != "" || len(findings) > 0 {
		t.Errorf("objects (-want +got):\n%s\n%v", diff, findings)
	}
	link("..v2", "..new")
	if err := os.Rename(filepath.Join(directory, "..new"), filepath.Join(directory, "..data")); err != nil {
		t.Fatal(err)
	}
	objects, findings = load(t, s, directory)
	if diff := cmp.Diff([]string{"Pipeline shop/orders"}, objects); diff != "" || len(findings) > 0 {
		t.Errorf("objects (-want +got):\n%s\n%v", diff, findings)
	}
}

func TestCredentials(t *testing.T) {
	second := strings.NewReplacer("name: acme, namespace", "name: second, namespace", "spec:\n", "spec:\n  keyID: acme\n").Replace(credentialYAML)
	lost := strings.NewReplacer("name: acme, namespace", "name: lost, namespace", "{name: acme}", "{name: nobody}", "{name: acme-jwt,", "{name: none,").Replace(credentialYAML)
	namesake := strings.Replace(consumerYAML, "{name: acme, namespace: shop}\nspec: {", "{name: other, namespace: shop}\nspec: {username: acme, ", 1)
	directory := write(t, map[string]string{"a.yaml": strings.Join([]string{second, credentialYAML, lost, consumerYAML, namesake, secretYAML}, "---\n")})
	world, findings, err := newSource(t, directory).Load()
	if err != nil || len(findings) > 0 {
		t.Fatal(err, findings)
	}
	type summary struct {
		Credential, Consumer    string
		Secrets                 []string
		SameKeyID, SameUsername []string
	}
	var got []summary
	for _, in := range world.Credentials() {
		s := summary{Credential: in.Credential.Name}
		if in.Consumer != nil {
			s.Consumer = in.Consumer.Name
		}
		for key := range in.Secrets {
			s.Secrets = append(s.Secrets, key.Name)
		}
		for _, c := range in.SameKeyID {
			s.SameKeyID = append(s.SameKeyID, c.Name)
		}
		for _, c := range in.SameUsername {
			s.SameUsername = append(s.SameUsername, c.Name)
		}
		got = append(got, s)
	}
	want := []summary{
		{"acme", "acme", []string{"acme-jwt"}, []string{"acme", "second"}, []string{"acme", "other"}},
		{"lost", "", nil, []string{"lost"}, nil},
		{"second", "acme", []string{"acme-jwt"}, []string{"acme", "second"}, []string{"acme", "other"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("credentials (-want +got):\n%s", diff)
	}
	o := Check(world)
	if o.Credentials[routing.ObjectKey{Namespace: "shop", Name: "second"}].Serving != 0 {
		t.Error("the second credential of a keyID is served")
	}
}

package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/goccy/go-yaml"
	"github.com/spf13/pflag"

	"github.com/weir-stream/weir/internal/app"
	"github.com/weir-stream/weir/internal/base/config"
)

// The files in deploy/ and the pages in docs/ops name settings, flags and commands. What they name must exist, and have values that a
// server takes.

const deployFolder = "../../deploy"

// checkServer loads settings as a server does that is started with the arguments and variables.
func checkServer(t *testing.T, where string, args []string, env map[string]string) {
	t.Helper()
	checkCommand(t, where, args)
	schema, err := app.Schema()
	if err != nil {
		t.Fatal(err)
	}
	flags := pflag.NewFlagSet(where, pflag.ContinueOnError)
	flags.StringP("config", "c", "", "")
	schema.BindFlags(flags)
	if len(args) == 0 || args[0] != "server" {
		t.Fatalf("%s starts %v", where, args)
	}
	if err := flags.Parse(args[1:]); err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	v, err := schema.Load(config.Sources{Flags: flags, Env: list, IgnoreEnv: otherVariables})
	if err == nil {
		err = app.Check(v)
	}
	if err != nil {
		t.Errorf("%s: %v", where, err)
	}
}

// checkCommand looks a command line up, and its flags. The arguments are those behind the name of the program.
func checkCommand(t *testing.T, where string, args []string) {
	t.Helper()
	s, _, _ := testSession("")
	cmd, rest, err := newRootCommand(s).Find(args)
	if err != nil {
		t.Errorf("%s: weir %s: %v", where, strings.Join(args, " "), err)
		return
	}
	cmd.InitDefaultHelpFlag()
	if err := cmd.ParseFlags(rest); err != nil {
		t.Errorf("%s: weir %s: %v", where, strings.Join(args, " "), err)
		return
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		t.Errorf("%s: weir %s: %v", where, strings.Join(args, " "), err)
	}
}

func readDeploy(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(deployFolder, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// image is what the Containerfile says of a container.
type image struct {
	env          map[string]string
	user         string
	command      []string
	healthChecks []string
}

func readImage(t *testing.T) image {
	t.Helper()
	i := image{env: map[string]string{}}
	list := func(text string) (args []string) {
		if err := yaml.Unmarshal([]byte(text[strings.IndexByte(text, '['):]), &args); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return slices.DeleteFunc(args, func(a string) bool { return a == "/usr/bin/weir" })
	}
	for line := range strings.Lines(strings.ReplaceAll(readDeploy(t, "Containerfile"), "\\\n", " ")) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "ENV":
			for pair := range strings.FieldsSeq(rest) {
				name, value, _ := strings.Cut(pair, "=")
				i.env[name] = value
			}
		case "HEALTHCHECK":
			i.healthChecks = list(rest)
		case "CMD":
			i.command = list(rest)
		case "USER":
			i.user = rest
		}
	}
	return i
}

func TestContainerfileNamesWhatExists(t *testing.T) {
	t.Parallel()
	i := readImage(t)
	checkServer(t, "Containerfile", i.command, i.env)
	checkCommand(t, "Containerfile", i.healthChecks)
	if i.user == "" || strings.HasPrefix(i.user, "0") || len(i.env) < 4 {
		t.Errorf("user %q, %d variables", i.user, len(i.env))
	}
}

func TestComposeStartsBrokersThatAServerWouldBe(t *testing.T) {
	t.Parallel()
	var file struct {
		Services map[string]struct {
			Image       string
			Environment map[string]string
			Command     []string
			Ports       []string
			DependsOn   map[string]any `yaml:"depends_on"`
		}
		Volumes map[string]any
	}
	if err := yaml.Unmarshal([]byte(readDeploy(t, "compose.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	inherited := readImage(t)
	brokers, outside := 0, map[string]bool{}
	for name, s := range file.Services {
		for needed := range s.DependsOn {
			if _, ok := file.Services[needed]; !ok {
				t.Errorf("%s depends on %s, which is not there", name, needed)
			}
		}
		if s.Image != "weir" {
			continue
		}
		brokers++
		env := maps.Clone(inherited.env)
		maps.Copy(env, s.Environment)
		checkServer(t, name, s.Command, env)
		_, address, _ := strings.Cut(s.Environment["WEIR_ADVERTISED_LISTENERS"], "OUTSIDE://localhost:")
		if outside[address] || !slices.ContainsFunc(s.Ports, func(p string) bool { return strings.HasPrefix(p, "127.0.0.1:"+address+":") }) {
			t.Errorf("%s says that it is at port %s, and publishes %v", name, address, s.Ports)
		}
		outside[address] = true
		if !strings.Contains(s.Environment["WEIR_ADVERTISED_LISTENERS"], "INSIDE://"+name+":") {
			t.Errorf("%s says that it is at %s", name, s.Environment["WEIR_ADVERTISED_LISTENERS"])
		}
	}
	if brokers != 3 || file.Services["etcd"].Image == "" || file.Services["s3"].Image == "" {
		t.Errorf("%d brokers among %v", brokers, slices.Sorted(maps.Keys(file.Services)))
	}
}

func TestSystemdFilesNameWhatExists(t *testing.T) {
	t.Parallel()
	env := map[string]string{}
	var args []string
	for line := range strings.Lines(readDeploy(t, "systemd/weir.service")) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "ExecStart":
			args = strings.Fields(value)
		case "Environment":
			name, v, _ := strings.Cut(value, "=")
			env[name] = v
		}
	}
	for line := range strings.Lines(readDeploy(t, "systemd/weir.env")) {
		if line = strings.TrimPrefix(strings.TrimSpace(line), "#"); regexp.MustCompile(`^[A-Z_]+=`).MatchString(line) {
			name, v, _ := strings.Cut(line, "=")
			env[name] = v
		}
	}
	if len(args) < 2 || args[0] != "/usr/bin/weir" || len(env) < 6 {
		t.Fatalf("starts %v with %v", args, env)
	}
	checkServer(t, "systemd", args[1:], env)
	checkSettingsFile(t, "systemd/weir.yaml", readDeploy(t, "systemd/weir.yaml"))
}

func checkSettingsFile(t *testing.T, where, text string) {
	t.Helper()
	schema, err := app.Schema()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	v, err := schema.Load(config.Sources{File: file})
	if err == nil {
		err = app.Check(v)
	}
	if err != nil {
		t.Errorf("%s: %v\n%s", where, err, text)
	}
}

// chart renders the Helm chart with what of Helm's functions it uses, and returns the documents.
func chart(t *testing.T, change func(values map[string]any)) []map[string]any {
	t.Helper()
	var values map[string]any
	if err := yaml.Unmarshal([]byte(readDeploy(t, "helm/weir/values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	change(values)
	root := template.New("")
	indent := func(n int, s string) string {
		return strings.ReplaceAll("\n"+strings.TrimSpace(s), "\n", "\n"+strings.Repeat(" ", n))
	}
	root.Funcs(template.FuncMap{
		"include": func(name string, data any) (string, error) {
			var b bytes.Buffer
			err := root.ExecuteTemplate(&b, name, data)
			return b.String(), err
		},
		"nindent": indent,
		"quote":   func(v any) string { return fmt.Sprintf("%q", fmt.Sprint(v)) },
		"toYaml": func(v any) (string, error) {
			b, err := yaml.Marshal(v)
			return string(b), err
		},
		"default": func(otherwise, v any) any {
			if v == nil || v == "" {
				return otherwise
			}
			return v
		},
		"required": func(text string, v any) (any, error) {
			if v == nil || v == "" {
				return nil, fmt.Errorf("%s", text)
			}
			return v, nil
		},
		"list":      func(v ...any) []any { return v },
		"toString":  func(v any) string { return fmt.Sprint(v) },
		"int":       func(v any) (n int, err error) { _, err = fmt.Sscan(fmt.Sprint(v), &n); return n, err },
		"sha256sum": func(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) },
	})
	var names []string
	err := filepath.WalkDir(filepath.Join(deployFolder, "helm/weir/templates"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name := "weir/templates/" + d.Name()
		if !strings.HasPrefix(d.Name(), "_") {
			names = append(names, name)
		}
		_, err = root.New(name).Parse(string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	data := map[string]any{
		"Values": values, "Release": map[string]any{"Name": "events"}, "Chart": map[string]any{"AppVersion": "1"}, "Template": map[string]any{"BasePath": "weir/templates"},
	}
	var documents []map[string]any
	for _, name := range names {
		var b bytes.Buffer
		if err := root.ExecuteTemplate(&b, name, data); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(b.String(), "<no value>") {
			t.Fatalf("%s uses a value that is not there:\n%s", name, b.String())
		}
		decoder := yaml.NewDecoder(&b)
		for {
			var d map[string]any
			if err := decoder.Decode(&d); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, b.String())
			}
			if len(d) > 0 {
				documents = append(documents, d)
			}
		}
	}
	return documents
}

// at follows keys of maps and indices of lists.
func at(t *testing.T, v any, path ...any) any {
	t.Helper()
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				t.Fatalf("nothing at %v", path)
			}
			v = l[p]
		}
	}
	return v
}

func TestHelmChartRendersWhatAServerTakes(t *testing.T) {
	t.Parallel()
	basic := func(v map[string]any) {
		v["meta"], v["blob"] = "etcd://etcd-0:2379,etcd-1:2379/weir", "s3://bucket/weir?region=eu-central-1"
	}
	for name, c := range map[string]struct {
		change      func(map[string]any)
		deployments int
		kinds       int
	}{
		"as delivered": {basic, 1, 5},
		"zones": {func(v map[string]any) {
			basic(v)
			v["zones"] = []any{"a", "b", "c"}
		}, 3, 7},
		"outside": {func(v map[string]any) {
			basic(v)
			v["outside"] = map[string]any{"enabled": true, "port": 19092, "protocol": "SSL"}
			v["registry"], v["rest"] = map[string]any{"enabled": true, "port": 8081}, map[string]any{"enabled": true, "port": 8082}
		}, 1, 5},
		"everything": {func(v map[string]any) {
			basic(v)
			v["rackFromPodLabel"], v["credentialsSecret"], v["priorityClassName"] = true, "keys", "high"
			v["files"] = []any{map[string]any{"name": "tls", "secret": "tls"}, map[string]any{"name": "users", "configMap": "users"}}
			v["settings"] = map[string]any{"log.retention.hours": 48, "authorizer.class.name": "weir", "super.users": "User:admin"}
			v["admin"] = map[string]any{"port": 9000}
			v["podMonitor"] = map[string]any{"enabled": true}
			v["tolerations"] = []any{map[string]any{"operator": "Exists"}}
			v["nodeSelector"], v["podLabels"], v["podAnnotations"] = map[string]any{"x": "y"}, map[string]any{"x": "y"}, map[string]any{"x": "y"}
		}, 1, 6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			documents := chart(t, c.change)
			if len(documents) != c.kinds {
				t.Errorf("%d documents, want %d", len(documents), c.kinds)
			}
			deployments := 0
			for _, d := range documents {
				switch d["kind"] {
				case "ConfigMap":
					checkSettingsFile(t, "ConfigMap", at(t, d, "data", "weir.yaml").(string))
				case "Deployment":
					deployments++
					checkPod(t, d)
				case "StatefulSet":
					t.Error("a StatefulSet")
				}
			}
			if deployments != c.deployments {
				t.Errorf("%d deployments, want %d", deployments, c.deployments)
			}
		})
	}
}

func checkPod(t *testing.T, d map[string]any) {
	t.Helper()
	pod := at(t, d, "spec", "template", "spec")
	container := at(t, pod, "containers", 0)
	env := readImage(t).env
	list, _ := at(t, container, "env").([]any)
	for _, e := range list {
		value, _ := at(t, e, "value").(string)
		if value == "" {
			value = "zone-a" // comes from the pod
		}
		env[at(t, e, "name").(string)] = strings.NewReplacer("$(POD_IP)", "10.1.2.3", "$(HOST_IP)", "10.4.5.6").Replace(value)
	}
	var args []string
	words, _ := at(t, container, "args").([]any)
	for _, w := range words {
		args = append(args, w.(string))
	}
	checkServer(t, "Deployment", args, env)
	if at(t, pod, "enableServiceLinks") != false {
		t.Error("Kubernetes would make variables of Services, which a server refuses")
	}
	selector, _ := at(t, d, "spec", "selector", "matchLabels").(map[string]any)
	labels, _ := at(t, d, "spec", "template", "metadata", "labels").(map[string]any)
	for k, v := range selector {
		if labels[k] != v {
			t.Errorf("the selector wants %s=%v, the pod has %v", k, v, labels[k])
		}
	}
	volumes := map[any]bool{}
	all, _ := at(t, pod, "volumes").([]any)
	for _, v := range all {
		volumes[at(t, v, "name")] = true
	}
	mounts, _ := at(t, container, "volumeMounts").([]any)
	for _, m := range mounts {
		if !volumes[at(t, m, "name")] {
			t.Errorf("mount of %v, which is no volume", at(t, m, "name"))
		}
	}
}

// TestPagesNameCommandsThatExist looks up every line of a block in a page for operators that calls weir.
func TestPagesNameCommandsThatExist(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../../docs/ops/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	commands := 0
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		inBlock := false
		lines := bufio.NewScanner(bytes.NewReader(bytes.ReplaceAll(text, []byte("\\\n"), nil)))
		for lines.Scan() {
			line := strings.TrimSpace(lines.Text())
			if strings.HasPrefix(line, "```") {
				inBlock = !inBlock
				continue
			}
			if call, ok := weirCall(line); ok && inBlock {
				commands++
				checkCommand(t, filepath.Base(page), call)
			}
		}
	}
	if commands < 20 {
		t.Errorf("only %d commands were found", commands)
	}
}

// weirCall returns the arguments of a line that calls weir, itself or in a container.
func weirCall(line string) ([]string, bool) {
	line, _, _ = strings.Cut(line, "  #")
	line, _, _ = strings.Cut(line, " | ")
	line, _, _ = strings.Cut(line, " > ")
	for _, prefix := range []string{"weir ", "./weir ", "dist/weir "} {
		rest, ok := strings.CutPrefix(line, prefix)
		if i := strings.Index(line, " -- "+prefix); i >= 0 {
			rest, ok = line[i+len(" -- "+prefix):], true
		}
		if ok {
			return shellWords(strings.TrimSuffix(strings.TrimSpace(rest), "&")), true
		}
	}
	return nil, false
}

// shellWords divides a line into words, of which quotes are a part as in a shell.
func shellWords(line string) (words []string) {
	var quote rune
	word, begun := strings.Builder{}, false
	for _, r := range line {
		switch {
		case quote == 0 && (r == '\'' || r == '"'):
			quote, begun = r, true
		case r == quote:
			quote = 0
		case quote == 0 && r == ' ':
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	if begun {
		words = append(words, word.String())
	}
	return words
}

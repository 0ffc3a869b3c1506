package archtest

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/weir-stream/weir"

// mayImport says which folders of the module a folder may import; a folder stands for itself and what lies below it,
// unless that has a line of its own. See ARCHITECTURE.md for the picture.
var mayImport = map[string][]string{
	"cmd/weir": {"internal/app", "internal/base", "internal/kafka", "internal/schema", "internal/platform", "internal/cli", "internal/demo", "internal/broker/wal", "internal/broker/segment", "internal/broker/shard/state"},
	"weirtest": {"internal/app", "internal/base", "internal/kafka"},

	"internal/app":  {"internal/base", "internal/kafka", "internal/broker", "internal/platform", "internal/schema", "internal/sim/cost"},
	"internal/cli":  {"internal/base", "internal/kafka"},
	"internal/demo": {"internal/base", "internal/kafka", "internal/cli"},

	"internal/cli/registryclient": {"internal/kafka", "internal/schema"},
	"internal/cli/typed":          {"internal/cli/registryclient", "internal/schema"},

	"internal/archtest":       {},
	"internal/base":           {},
	"internal/base/invariant": {},
	"internal/kafka":          {"internal/base"},

	"internal/broker":                {"internal/base", "internal/kafka", "internal/broker/api", "internal/broker/auth", "internal/broker/quota"},
	"internal/broker/api":            {"internal/base", "internal/kafka", "internal/broker/cluster", "internal/broker/coordinator", "internal/broker/machine", "internal/broker/group", "internal/broker/txn", "internal/broker/share", "internal/broker/sharepartition", "internal/broker/streamsgroup", "internal/broker/topics", "internal/broker/shard", "internal/broker/partition", "internal/broker/wal", "internal/broker/auth", "internal/broker/audit", "internal/broker/quota", "internal/broker/feature", "internal/broker/telemetry"},
	"internal/broker/auth":           {"internal/base", "internal/kafka"},
	"internal/broker/audit":          {"internal/base", "internal/kafka", "internal/broker/auth"},
	"internal/broker/quota":          {"internal/base", "internal/kafka"},
	"internal/broker/feature":        {"internal/kafka"},
	"internal/broker/telemetry":      {"internal/base", "internal/kafka"},
	"internal/broker/cluster":        {"internal/base", "internal/broker/ownership", "internal/broker/placement"},
	"internal/broker/ownership":      {"internal/base"},
	"internal/broker/peer":           {"internal/base", "internal/kafka", "internal/broker/cluster"},
	"internal/broker/machine":        {},
	"internal/broker/machinetest":    {},
	"internal/broker/coordinator":    {"internal/base", "internal/kafka", "internal/broker/machine", "internal/broker/group", "internal/broker/txn", "internal/broker/share", "internal/broker/streamsgroup"},
	"internal/broker/group":          {"internal/base/invariant", "internal/kafka", "internal/broker/machine"},
	"internal/broker/txn":            {"internal/base/invariant", "internal/kafka", "internal/broker/machine"},
	"internal/broker/sharepartition": {"internal/base", "internal/kafka", "internal/broker/machine", "internal/broker/share", "internal/broker/partition"},
	"internal/broker/share":          {"internal/base/invariant", "internal/kafka", "internal/broker/machine"},
	"internal/broker/streamsgroup":   {"internal/base/invariant", "internal/kafka", "internal/broker/machine"},
	"internal/broker/topics":         {"internal/base", "internal/kafka"},
	"internal/broker/compaction":     {"internal/kafka"},
	"internal/broker/placement":      {},
	"internal/broker/shard":          {"internal/base", "internal/kafka", "internal/broker/cluster", "internal/broker/ownership", "internal/broker/compaction", "internal/broker/partition", "internal/broker/shard/state", "internal/broker/segment", "internal/broker/wal"},
	"internal/broker/shard/state":    {"internal/base/invariant", "internal/kafka"},
	"internal/broker/partition":      {"internal/base", "internal/kafka", "internal/broker/segment", "internal/broker/wal", "internal/broker/shard/state"},
	"internal/broker/segment":        {"internal/base", "internal/kafka"},
	"internal/broker/wal":            {"internal/base", "internal/kafka"},

	"internal/schema":            {},
	"internal/schema/avro":       {"internal/schema"},
	"internal/schema/protobuf":   {"internal/schema"},
	"internal/schema/jsonschema": {"internal/schema"},
	"internal/schema/formats":    {"internal/schema"},
	"internal/schema/wireformat": {"internal/schema"},
	"internal/schema/rules":      {"internal/schema"},
	"internal/schema/jsonata":    {"internal/schema", "internal/schema/rules"},
	"internal/schema/fieldcrypt": {"internal/schema", "internal/base"},

	"internal/platform/gate":        {"internal/base", "internal/kafka"},
	"internal/platform/registry":    {"internal/base", "internal/kafka", "internal/schema", "internal/platform/gate"},
	"internal/platform/conformance": {"internal/schema"},
	"internal/platform/contract":    {"internal/base", "internal/kafka", "internal/schema", "internal/platform/registry"},
	"internal/platform/rest":        {"internal/base", "internal/kafka", "internal/schema", "internal/platform/gate"},

	"serde": {"internal/schema", "internal/base"},

	"internal/sim":       {"internal/broker/placement"},
	"internal/sim/cost":  {},
	"internal/sim/model": {},

	"bench": {"internal/kafka", "internal/sim/cost"},
	"tools": {"internal/base", "internal/kafka", "internal/broker", "internal/app"},
	"test":  {"internal/kafka", "internal/base", "serde"},
}

// pure packages decide and nothing else: no network, no files, no clock, no goroutines and no locks.
var pure = []string{"internal/broker/machine", "internal/broker/group", "internal/broker/txn", "internal/broker/share", "internal/broker/streamsgroup", "internal/broker/shard/state", "internal/broker/compaction", "internal/broker/placement", "internal/sim/cost", "internal/sim/model"}

var impure = []string{"net", "os", "sync", "sync/atomic"}

// onlyTests may be imported by tests, and by what lies in test/, alone.
var onlyTests = []string{"internal/base/servertest"}

func TestImportsFollowTheArchitecture(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	checked := 0
	walk(t, root, func(path, dir string) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		checked++
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			t.Errorf("parse %s: %v", path, err)
			return
		}
		from, ok := owner(dir)
		if !ok {
			t.Errorf("folder %s has no line in mayImport", dir)
			return
		}
		for _, spec := range f.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Errorf("%s: import %s: %v", path, spec.Path.Value, err)
				continue
			}
			if slices.Contains(pure, from) && slices.Contains(impure, name) {
				t.Errorf("%s is in pure package %s and imports %s", path, from, name)
			}
			if to, ours := strings.CutPrefix(name, module+"/"); ours && !allowed(from, to) {
				t.Errorf("%s imports %s, which %s may not", path, to, from)
			} else if ours && slices.Contains(onlyTests, to) && from != "test" {
				t.Errorf("%s imports %s, which only tests may", path, to)
			}
		}
	})
	if checked < 50 {
		t.Errorf("checked %d files, expected the whole tree", checked)
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	t.Parallel()
	documented := map[string]bool{}
	walk(t, filepath.Join("..", ".."), func(path, dir string) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Errorf("parse %s: %v", path, err)
			return
		}
		documented[dir] = documented[dir] || (f.Doc != nil && len(f.Doc.Text()) > 40)
	})
	for dir, ok := range documented {
		if !ok {
			t.Errorf("package %s has no package comment", dir)
		}
	}
}

// walk visits the Go files of the main module.
func walk(t *testing.T, root string, visit func(path, dir string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if rel != "." && (strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_") || d.Name() == "testdata" || d.Name() == "node_modules" || nested(path, rel)) {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(path, ".go") {
			visit(path, filepath.ToSlash(filepath.Dir(rel)))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// nested says whether a folder is a module of its own.
func nested(path, rel string) bool {
	if rel == "." {
		return false
	}
	found, err := filepath.Glob(filepath.Join(path, "go.mod"))
	return err == nil && len(found) > 0
}

// owner returns the line of mayImport that a folder falls under: the longest one.
func owner(dir string) (string, bool) {
	for d := dir; d != "."; d = filepath.ToSlash(filepath.Dir(d)) {
		if _, ok := mayImport[d]; ok {
			return d, true
		}
	}
	return "", false
}

func allowed(from, to string) bool {
	target, ok := owner(to)
	if !ok {
		return false
	}
	if target == from {
		return true
	}
	for _, m := range mayImport[from] {
		if target == m || (strings.HasPrefix(target, m+"/") && m != "internal/broker") || (m == "internal/broker" && strings.HasPrefix(target, m) && (from == "internal/app" || from == "tools")) {
			return true
		}
	}
	return false
}

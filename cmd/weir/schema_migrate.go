package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-stream/weir/internal/cli/table"
)

type migrateOptions struct {
	from, to                      string
	topic, bootstrap, kafkaConfig string // of the old cluster
	subjects                      []string
	dryRun                        bool
}

func newSchemaMigrateCommand(s *session) *cobra.Command {
	var o migrateOptions
	cmd := &cobra.Command{
		Use: "migrate --from URL | --from-bootstrap HOST:PORT", Short: "Copy schemas from another registry or its topic, with their ids and versions",
		Long: `Copy schemas from another registry into this one: subjects of all contexts, every version under its own id and number, soft-deleted ones
too, what is referred to before what refers to it, then associations, the keys of field encryption, levels of compatibility and modes. Records that were written with the old registry
can be read with the new one.

Each subject is in IMPORT mode while it is copied. What is there already, and is the same, is passed over: a copy that was interrupted is
finished by running it again. At the end everything is read back and compared. Nothing in the old registry is changed.

With --from-bootstrap the schemas are read out of the old registry's topic, _schemas, on the old Kafka cluster; the registry itself need not
run. --from-topic alone reads a topic of the cluster of --bootstrap, such as one that was copied there under another name.`,
		Example: `  weir schema migrate --from https://old:8081 --dry-run
  weir schema migrate --from https://user:password@old:8081
  weir schema migrate --from-bootstrap old:9092 --from-config old.properties
  weir schema migrate --from http://old:8081 --to http://new:8081 --subjects orders-value --subjects 'common.*'`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.to != "" {
				s.schemaRegistry = o.to
			}
			old, err := s.openOrigin(cmd.Context(), o)
			if err != nil {
				return err
			}
			target, err := s.openRegistry()
			if err != nil {
				return err
			}
			return s.migrateSchemas(cmd.Context(), old, target, o)
		},
	}
	s.addOutput(cmd)
	s.addRegistry(cmd)
	f := cmd.Flags()
	f.StringVar(&o.from, "from", "", "`URL` of the old registry, with user:password@ if it wants a login")
	f.StringVar(&o.bootstrap, "from-bootstrap", "", "`brokers` of the old Kafka cluster, as host:port,host:port: read the old registry's topic")
	f.StringVar(&o.kafkaConfig, "from-config", "", "`file` of Java's properties with which to log in at the old cluster")
	f.StringVar(&o.topic, "from-topic", "", "`topic` of the old registry (default _schemas)")
	f.StringVar(&o.to, "to", "", "`URL` of the new registry, in the place of --schema-registry")
	f.StringArrayVar(&o.subjects, "subjects", nil, "only this `subject`, or with * at the end those that begin so, and what they refer to; repeatable")
	f.BoolVar(&o.dryRun, "dry-run", false, "only show what would be copied")
	return cmd
}

// placeOf identifies a version within a registry.
type placeOf struct {
	subject string
	version int
}

func (v subjectVersion) place() placeOf { return placeOf{v.Subject, v.Version} }

// migration is what is to be done, found out before anything is changed.
type migration struct {
	old       schemaOrigin
	target    registryAt
	versions  []subjectVersion // in an order in which they can be registered
	missing   map[placeOf]bool // of these, what the target does not have
	undeleted map[placeOf]bool // live in the target, soft-deleted in the old registry
	settings  []migratedSetting
	whole     bool // all subjects
	// What the target does not have of them: associations of the subjects, and keys.
	associations []association
	keys         keySet
}

// migratedSetting is a mode or a configuration of a subject, a context or, for "", the registry.
type migratedSetting struct {
	kind, subject string
	value         map[string]json.RawMessage
}

// migratedRow is the outcome for a subject.
type migratedRow struct {
	Subject  string `json:"subject"`
	Versions int    `json:"versions"`
	Deleted  int    `json:"deleted,omitempty"`
	Copied   int    `json:"copied"`
}

func (s *session) migrateSchemas(ctx context.Context, old schemaOrigin, target registryAt, o migrateOptions) error {
	m, err := planMigration(ctx, old, target, o.subjects)
	if err != nil {
		return err
	}
	if o.dryRun {
		s.progressf("dry run: nothing was changed")
		return s.printMigration(m)
	}
	if err := m.run(ctx, s); err != nil {
		return withFix(err, "run the same command again: what was copied already is passed over")
	}
	if err := m.verify(ctx); err != nil {
		return err
	}
	s.progressf("all %d versions were read back and are the same", len(m.versions))
	if n := len(m.keys.KEKs) + len(m.keys.DEKs); n+len(m.associations) > 0 {
		s.progressf("%d keys and %d associations were copied with them", n, len(m.associations))
	}
	return s.printMigration(m)
}

func (s *session) printMigration(m *migration) error {
	rows := []migratedRow{}
	at := map[string]int{}
	sorted := slices.Clone(m.versions)
	slices.SortFunc(sorted, func(a, b subjectVersion) int {
		return cmp.Or(cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Version, b.Version))
	})
	for _, v := range sorted {
		if _, ok := at[v.Subject]; !ok {
			at[v.Subject] = len(rows)
			rows = append(rows, migratedRow{Subject: v.Subject})
		}
		row := &rows[at[v.Subject]]
		row.Versions++
		if v.Deleted {
			row.Deleted++
		}
		if m.missing[v.place()] {
			row.Copied++
		}
	}
	t := &table.Table{Columns: []table.Column{{Title: "SUBJECT"}, {Title: "VERSIONS", Right: true}, {Title: "DELETED", Right: true}, {Title: "COPIED", Right: true}}}
	for _, r := range rows {
		t.Add(r.Subject, strconv.Itoa(r.Versions), strconv.Itoa(r.Deleted), strconv.Itoa(r.Copied))
	}
	return s.print(rows, t)
}

// allContexts is the prefix of every subject.
const allContexts = ":*:"

func planMigration(ctx context.Context, old schemaOrigin, target registryAt, patterns []string) (*migration, error) {
	found, err := old.versions(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the schemas of the old registry: %w", err)
	}
	there, err := target.versions(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the schemas of the new registry: %w", err)
	}
	m := &migration{old: old, target: target, missing: map[placeOf]bool{}, undeleted: map[placeOf]bool{}}
	if m.versions, err = chooseVersions(found, patterns); err != nil {
		return nil, err
	}
	have := map[placeOf]subjectVersion{}
	for _, v := range there {
		have[v.place()] = v
	}
	for _, v := range m.versions {
		other, ok := have[v.place()]
		switch {
		case !ok:
			m.missing[v.place()] = true
		case !target.holds(ctx, v, other):
			return nil, withFix(fmt.Errorf("the new registry has another schema as version %d of %s (id %d, here %d)", v.Version, v.Subject, v.ID, other.ID),
				"delete it there for good, or leave the subject out with --subjects")
		case v.Deleted && !other.Deleted:
			m.undeleted[v.place()] = true
		}
		if !ok && v.Deleted {
			m.undeleted[v.place()] = true
		}
	}
	m.whole = len(patterns) == 0
	if err := m.readSettings(ctx, m.whole); err != nil {
		return nil, err
	}
	return m, m.readMore(ctx, m.whole)
}

// sameVersion tells whether records written with one can be read with the other.
func sameVersion(a, b subjectVersion) bool {
	return a.ID == b.ID && a.format() == b.format() && strings.TrimSpace(a.Schema) == strings.TrimSpace(b.Schema)
}

// holds tells whether what the registry has in the place of v is the same. Registries differ in what they keep of white space and names
// of namespaces; where the texts differ, the registry is asked whether it knows that of v.
func (r registryAt) holds(ctx context.Context, v, other subjectVersion) bool {
	if sameVersion(v, other) {
		return true
	}
	if v.ID != other.ID || v.format() != other.format() {
		return false
	}
	body := subjectVersion{Type: v.Type, References: v.References, Metadata: v.Metadata, RuleSet: v.RuleSet, Schema: v.Schema}
	var found subjectVersion
	err := r.call(ctx, http.MethodPost, subjectPath(v.Subject), url.Values{"deleted": {"true"}}, body, &found)
	return err == nil && found.ID == v.ID
}

// chooseVersions orders what is to be copied so that everything comes after what it refers to, and adds that to what was chosen.
func chooseVersions(found []subjectVersion, patterns []string) ([]subjectVersion, error) {
	by := map[placeOf]subjectVersion{}
	for _, v := range found {
		by[v.place()] = v
	}
	slices.SortFunc(found, func(a, b subjectVersion) int {
		return cmp.Or(cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Version, b.Version))
	})
	var out []subjectVersion
	const open, done = 1, 2
	state := map[placeOf]int{}
	var visit func(v subjectVersion) error
	visit = func(v subjectVersion) error {
		switch state[v.place()] {
		case open:
			return fmt.Errorf("%s refers to itself by what it refers to", v.Subject)
		case done:
			return nil
		}
		state[v.place()] = open
		for _, ref := range v.References {
			to, ok := by[placeOf{inContextOf(v.Subject, ref.Subject), ref.Version}]
			if !ok {
				return fmt.Errorf("version %d of %s refers to version %d of %s, which the old registry does not have", v.Version, v.Subject, ref.Version, ref.Subject)
			}
			if err := visit(to); err != nil {
				return err
			}
		}
		state[v.place()] = done
		out = append(out, v)
		return nil
	}
	for _, v := range found {
		chosen := len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool {
			start, ok := strings.CutSuffix(p, "*")
			return p == v.Subject || ok && strings.HasPrefix(v.Subject, start)
		})
		if chosen {
			if err := visit(v); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// inContextOf qualifies a subject that is named without a context by the one of who names it.
func inContextOf(parent, subject string) string {
	if strings.HasPrefix(subject, ":.") || !strings.HasPrefix(parent, ":.") {
		return subject
	}
	end := strings.IndexByte(parent[1:], ':')
	if end < 0 {
		return subject
	}
	return parent[:end+2] + subject
}

// readSettings reads what the subjects, their contexts and, if all is copied, the registry itself have of settings of their own.
func (m *migration) readSettings(ctx context.Context, whole bool) error {
	var names []string
	if whole {
		names = append([]string{""}, m.old.settings()...)
	}
	for _, v := range m.versions {
		context := strings.TrimSuffix(inContextOf(v.Subject, "."), ".")
		if context != "" && strings.HasPrefix(v.Subject, ":.") && !slices.Contains(names, context) {
			names = append(names, context)
		}
		if !slices.Contains(names, v.Subject) {
			names = append(names, v.Subject)
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		for _, kind := range []string{"/config", "/mode"} {
			if name == "" && kind == "/mode" {
				continue // that of the new registry is its operator's
			}
			value, err := m.old.setting(ctx, kind, name)
			if err != nil {
				return fmt.Errorf("read the settings of %s: %w", name, err)
			}
			if value == nil {
				continue
			}
			renameLevel(value)
			m.settings = append(m.settings, migratedSetting{kind: kind, subject: name, value: value})
		}
	}
	return nil
}

// run copies. Subjects are in IMPORT mode from the first of their versions to the end, when they get the mode that they are to have.
func (m *migration) run(ctx context.Context, s *session) error {
	importing := map[string]bool{}
	open := func(subject string) error {
		if importing[subject] {
			return nil
		}
		if err := m.target.call(ctx, http.MethodPut, settingPath("/mode", subject), url.Values{"force": {"true"}}, map[string]string{"mode": "IMPORT"}, nil); err != nil {
			return fmt.Errorf("open %s for import: %w", subject, err)
		}
		importing[subject] = true
		return nil
	}
	for i, v := range m.versions {
		if !m.missing[v.place()] {
			continue
		}
		if err := open(v.Subject); err != nil {
			return err
		}
		body := v
		body.Subject, body.GUID, body.Deleted = "", "", false
		if err := m.target.call(ctx, http.MethodPost, subjectPath(v.Subject, "/versions"), nil, body, nil); err != nil {
			return fmt.Errorf("copy version %d of %s: %w", v.Version, v.Subject, err)
		}
		if (i+1)%1000 == 0 {
			s.progressf("%d of %d versions", i+1, len(m.versions))
		}
	}
	// What refers to others was copied after them, and is deleted before them.
	for _, v := range slices.Backward(m.versions) {
		if m.undeleted[v.place()] {
			if err := m.target.call(ctx, http.MethodDelete, subjectPath(v.Subject, "/versions/", strconv.Itoa(v.Version)), nil, nil, nil); err != nil {
				return fmt.Errorf("delete version %d of %s, as in the old registry: %w", v.Version, v.Subject, err)
			}
		}
	}
	if err := m.carry(ctx, open); err != nil {
		return err
	}
	return m.settle(ctx, importing)
}

// settle gives subjects the modes and configurations that they are to have.
func (m *migration) settle(ctx context.Context, importing map[string]bool) error {
	for _, v := range m.versions {
		// A run that was interrupted may have left a subject open.
		var mode struct {
			Mode string `json:"mode"`
		}
		if !importing[v.Subject] && m.target.call(ctx, http.MethodGet, settingPath("/mode", v.Subject), nil, nil, &mode) == nil && mode.Mode == "IMPORT" {
			importing[v.Subject] = true
		}
	}
	for subject := range importing {
		if err := m.target.call(ctx, http.MethodDelete, settingPath("/mode", subject), nil, nil, nil); err != nil && !hasCode(err, 40401, 40409) {
			return fmt.Errorf("close %s for import: %w", subject, err)
		}
	}
	// Modes come last: READONLY forbids the rest.
	for _, kind := range []string{"/config", "/mode"} {
		for _, set := range m.settings {
			if set.kind != kind {
				continue
			}
			if err := m.apply(ctx, set); err != nil {
				return fmt.Errorf("set %s of %q: %w", strings.TrimPrefix(kind, "/"), set.subject, err)
			}
		}
	}
	return nil
}

// apply sets what the target does not have yet: in a run that finishes another, a subject may be READONLY already.
func (m *migration) apply(ctx context.Context, set migratedSetting) error {
	path := settingPath(set.kind, set.subject)
	var now map[string]json.RawMessage
	if err := m.target.call(ctx, http.MethodGet, path, nil, nil, &now); err != nil && !hasCode(err, 40401, 40408, 40409) {
		return err
	}
	renameLevel(now)
	same := true
	for name, value := range set.value {
		same = same && string(now[name]) == string(value)
	}
	if same {
		return nil
	}
	query := url.Values{}
	if set.kind == "/mode" {
		query.Set("force", "true")
	}
	return m.target.call(ctx, http.MethodPut, path, query, set.value, nil)
}

// renameLevel gives the level the name that it has in a request; in answers it has another.
func renameLevel(config map[string]json.RawMessage) {
	if level, ok := config["compatibilityLevel"]; ok {
		delete(config, "compatibilityLevel")
		config["compatibility"] = level
	}
}

// verify reads everything back.
func (m *migration) verify(ctx context.Context) error {
	there, err := m.target.versions(ctx)
	if err != nil {
		return fmt.Errorf("read the copies back: %w", err)
	}
	have := map[placeOf]subjectVersion{}
	for _, v := range there {
		have[v.place()] = v
	}
	for _, v := range m.versions {
		other, ok := have[v.place()]
		if !ok {
			return fmt.Errorf("after the copy version %d of %s is not there", v.Version, v.Subject)
		}
		if !m.target.holds(ctx, v, other) || v.Deleted != other.Deleted {
			return fmt.Errorf("after the copy version %d of %s differs: id %d and %d, deleted %v and %v", v.Version, v.Subject, v.ID, other.ID, v.Deleted, other.Deleted)
		}
	}
	return m.verifyMore(ctx)
}

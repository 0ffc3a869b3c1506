package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/app"
	"github.com/weir-stream/weir/internal/app/datadir"
	"github.com/weir-stream/weir/internal/base/seal"
	"github.com/weir-stream/weir/internal/base/seal/kms"
	"github.com/weir-stream/weir/internal/cli/recordformat"
	"github.com/weir-stream/weir/internal/cli/table"
	"github.com/weir-stream/weir/internal/kafka/record"
)

func newDumpCommand(s *session) *cobra.Command {
	return newNoun("dump", "Look into a data directory without a server",
		`Show what a data directory holds: the write-ahead log, the objects that records move to, the manifests and checkpoints
that bind them together, and the metadata.

Nothing is changed and nothing needs to run. What can be read is shown; damage is told and passed over. --verify reads
everything and checks every checksum. Without a directory ./weir-data is looked at.

With --records, records of __consumer_offsets, __transaction_state and __share_group_state are written as the JSON that Kafka's own
dump tool makes of them, --raw writes their bytes.`,
		`  weir dump wal /var/lib/weir
  weir dump wal --verify /var/lib/weir && weir dump segment --verify /var/lib/weir
  weir dump segment --records --partition orders/0 | weir topic produce orders-again --input ndjson
  weir dump wal --records --partition __transaction_state   what became of each transaction`,
		newDumpVerb(s, dumpVerb{
			name: "wal", short: "Frames of the write-ahead log, with their runs and controls",
			long: `Show every frame of the write-ahead log that can be found, with the runs of batches and the controls that it holds: a row
for each run, with -o wide a row for each batch. Frames that are not part of the log any more, or never became one, are
shown too.`, records: true, filter: true, verifies: true, show: showWAL,
		}),
		newDumpVerb(s, dumpVerb{
			name: "segment", short: "Objects that hold records, with their runs",
			long: `Show the objects that hold records, L1 and L2, with the runs of which they consist: a row for each run, with -o wide a
row for each batch.`, records: true, filter: true, verifies: true, show: showSegments,
		}),
		newDumpVerb(s, dumpVerb{
			name: "manifest", short: "Manifests: the objects of each shard",
			long: `Show the manifests, each the list of a shard's objects. The live one of a shard is the one that the metadata names; others
are left over and go with the next start.`, verifies: true, show: showManifests,
		}),
		newDumpVerb(s, dumpVerb{
			name: "checkpoint", short: "Checkpoints: the state of each partition",
			long:   `Show the checkpoints: what each partition of a shard knew when it was taken, and where its records lie.`,
			filter: true, verifies: true, show: showCheckpoints,
		}),
		newDumpVerb(s, dumpVerb{
			name: "meta", short: "Keys of the metadata store, decoded",
			long:     `Show the keys of the metadata store with their values: topics, configs, ids, incarnations and the pointers of shards.`,
			verifies: true, show: showMeta,
		}),
	)
}

// dumpVerb is one part of a data directory that can be shown.
type dumpVerb struct {
	name, short, long         string
	records, filter, verifies bool
	show                      func(*dump) error
}

func newDumpVerb(s *session, v dumpVerb) *cobra.Command {
	var objects, partition, keyURL string
	d := &dump{s: s}
	cmd := &cobra.Command{
		Use:     v.name + " [DIR...]",
		Short:   v.short,
		Long:    v.long,
		Example: "  weir dump " + v.name + " /var/lib/weir\n  weir dump " + v.name + " -o json | jq .",
		Args:    args(0, -1),
		RunE: func(cmd *cobra.Command, dirs []string) error {
			if err := d.setFilter(partition); err != nil {
				return err
			}
			if d.records && d.verify {
				return usageErrorf("--records and --verify exclude each other")
			}
			if len(dirs) == 0 {
				dirs = []string{"weir-data"}
			}
			d.ctx = cmd.Context()
			var keeper seal.Keeper
			if keyURL = cmp.Or(keyURL, s.env("WEIR_ENCRYPTION_KEY")); keyURL != "" {
				k, err := kms.Open(d.ctx, keyURL)
				if err != nil {
					return err
				}
				defer k.Close() //nolint:errcheck // nothing is written through it
				keeper = k
			}
			shown, err := shownSettings()
			if err != nil {
				return err
			}
			for _, dir := range dirs {
				if err := d.open(datadir.Options{Root: dir, Objects: strings.TrimPrefix(objects, "file:"), Keeper: keeper, Shown: shown}); err != nil {
					return err
				}
				if err := v.show(d); err != nil {
					return err
				}
			}
			return d.finish()
		},
	}
	s.addOutput(cmd)
	f := cmd.Flags()
	f.StringVar(&objects, "blob", "", "`folder` of the object store, if it is not in the data directory")
	f.StringVar(&keyURL, "encryption-key", "", "`URL` of the key of an encrypted data directory (default: WEIR_ENCRYPTION_KEY)")
	f.BoolVar(&d.verify, "verify", false, "check every checksum; tell each damage and exit with 1 if there is one")
	if v.records {
		f.BoolVar(&d.records, "records", false, "write the records, in the form of 'topic consume'")
		f.BoolVar(&d.raw, "raw", false, "with --records: write records of internal topics as they are")
	}
	if v.filter {
		f.StringVar(&partition, "partition", "", "only this partition, `TOPIC/N`, or TOPIC for all of one; a topic's id will do")
	}
	return cmd
}

// shownSettings tells of a setting whether its value may be shown: not if it is secret, or nobody knows what it is.
func shownSettings() (func(name string) bool, error) {
	schema, err := app.Schema()
	if err != nil {
		return nil, err
	}
	return func(name string) bool {
		setting, ok := schema.Lookup(name)
		return ok && !setting.Sensitive()
	}, nil
}

// dump is one look into one or several data directories.
type dump struct {
	s   *session
	ctx context.Context //nolint:containedctx // a dump is one request
	dir *datadir.Dir

	records, verify bool
	raw             bool   // with records: those of internal topics are not decoded
	topic           string // "" for all
	partition       int32  // -1 for all
	printer         recordPrinter

	list    dumpList
	damages []datadir.Damage
}

func (d *dump) setFilter(text string) error {
	d.partition = -1
	if text == "" {
		return nil
	}
	topic, number, ok := strings.Cut(text, "/")
	d.topic = topic
	if ok {
		n, err := strconv.ParseInt(number, 10, 32)
		if err != nil || n < 0 {
			return usageErrorf("--partition %q is not TOPIC/N", text)
		}
		d.partition = int32(n)
	}
	return nil
}

// wants tells whether a partition passes the filter.
func (d *dump) wants(topic [16]byte, partition int32) bool {
	if d.topic == "" {
		return true
	}
	name, _ := d.dir.Topic(topic)
	return (d.topic == name || d.topic == idText(topic)) && (d.partition < 0 || d.partition == partition)
}

func (d *dump) open(o datadir.Options) error {
	var err error
	if d.dir, err = datadir.Open(d.ctx, o); errors.Is(err, seal.ErrNoKey) || errors.Is(err, seal.ErrKey) {
		return withFix(err, "name its key by --encryption-key or WEIR_ENCRYPTION_KEY")
	} else if err != nil {
		return withFix(err, "name the directory that 'weir server --data' was given")
	}
	if d.dir.InUse() {
		d.s.progressf("a server uses %s: what is read may be half of a change", o.Root)
	}
	if d.dir.MetadataProblem != nil {
		d.s.progressf("the metadata cannot be read, topics go by their ids: %v", d.dir.MetadataProblem)
	}
	if d.records && d.printer == nil {
		if d.printer, err = newRecordPrinter(d.s, ""); err != nil {
			return err
		}
	}
	d.list.s = d.s
	return nil
}

// damage tells of a damage.
func (d *dump) damage(all ...datadir.Damage) {
	d.damages = append(d.damages, all...)
	for _, x := range all {
		d.s.progressf("damaged: %s at %d: %s", x.File, x.Offset, x.Reason)
	}
}

// finish writes what is gathered and fails if damage was met.
func (d *dump) finish() error {
	if err := d.list.end(); err != nil {
		return err
	}
	if len(d.damages) > 0 {
		return withFix(fmt.Errorf("found %s", plural(int64(len(d.damages)), "damaged place")), "keep a copy of the directory; what is not damaged can be had with --records")
	}
	return nil
}

// verifyRow tells that something was checked.
type verifyRow struct {
	Checked string `json:"checked"`
	Bytes   int64  `json:"bytes"`
	Damaged int    `json:"damaged"`
	Note    string `json:"note,omitempty"`
}

func (d *dump) verified(r verifyRow) error {
	return d.list.add([]table.Column{{Title: "CHECKED"}, {Title: "BYTES", Right: true}, {Title: "DAMAGED", Right: true}, {Title: "NOTE"}}, r,
		r.Checked, strconv.FormatInt(r.Bytes, 10), strconv.Itoa(r.Damaged), r.Note)
}

// verifyObjects checks all objects of a kind.
func (d *dump) verifyObjects(kind string) error {
	infos, err := d.dir.Objects(d.ctx, kind)
	if err != nil {
		return err
	}
	for _, i := range infos {
		found, err := d.dir.VerifyObject(d.ctx, i.Key)
		if err != nil {
			return err
		}
		d.damage(found...)
		if err := d.verified(verifyRow{Checked: i.Key, Bytes: i.Size, Damaged: len(found)}); err != nil {
			return err
		}
	}
	missing, err := d.dir.Missing(d.ctx)
	if err != nil {
		return err
	}
	for _, m := range missing {
		if strings.HasPrefix(m.File, kind) {
			d.damage(m)
		}
	}
	return nil
}

// printRecords writes the records of a batch that is whole. What is damaged inside is told.
func (d *dump) printRecords(topic [16]byte, partition int32, batch []byte, where datadir.Damage) error {
	h, err := record.ParseHeader(batch)
	if err == nil && !record.CheckCRC(batch) {
		err = errors.New("checksum of the batch does not match")
	}
	if err != nil {
		where.Reason = err.Error()
		d.damage(where)
		return nil
	}
	if h.Control() {
		return nil // a transaction's marker
	}
	it, err := record.NewIterator(batch, decompressedBytesMax)
	if err != nil {
		where.Reason = err.Error()
		d.damage(where)
		return nil
	}
	defer it.Close()
	name, _ := d.dir.Topic(topic)
	var line []byte
	for {
		r, ok := it.Next()
		if !ok {
			break
		}
		ts := h.BaseTimestamp + r.TimestampDelta
		if h.LogAppendTime() {
			ts = h.MaxTimestamp
		}
		k := &kgo.Record{
			Topic: name, Partition: partition, Offset: h.BaseOffset + int64(r.OffsetDelta), Timestamp: time.UnixMilli(ts), Key: r.Key, Value: r.Value,
			LeaderEpoch: h.LeaderEpoch, ProducerID: h.ProducerID, ProducerEpoch: h.ProducerEpoch,
		}
		for _, x := range r.Headers {
			k.Headers = append(k.Headers, kgo.RecordHeader{Key: string(x.Key), Value: x.Value})
		}
		typed := recordformat.Typed{}
		if !d.raw {
			k, typed, _ = internalDocument(k)
		}
		if line, err = d.printer(line[:0], nil, k, typed); err != nil {
			return err
		}
		if _, err := d.s.out.Write(line); err != nil {
			return fmt.Errorf("write records: %w", err)
		}
	}
	if err := it.Err(); err != nil {
		where.Reason = err.Error()
		d.damage(where)
	}
	return nil
}

// decompressedBytesMax bounds what one batch may expand to.
const decompressedBytesMax = 256 << 20

// dumpList writes rows as they come where the form allows it, and gathers them where it does not.
type dumpList struct {
	s   *session
	t   *table.Table
	all []any
}

// add takes a row: doc for programs, cells for people.
func (l *dumpList) add(columns []table.Column, doc any, cells ...string) error {
	switch l.s.format() {
	case "table", "wide":
		if l.t == nil {
			l.t = &table.Table{Columns: columns}
		}
		l.t.Add(cells...)
		return nil
	case "json", "yaml":
		l.all = append(l.all, doc)
		return nil
	}
	if err := writeJSON(l.s.out, doc, ""); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

func (l *dumpList) end() error {
	switch l.s.format() {
	case "table", "wide":
		if l.t == nil {
			return nil
		}
		return l.s.print(nil, l.t)
	case "json", "yaml":
		return l.s.print(l.all, nil)
	}
	return nil
}

// shown is a topic for people and programs: its name, or the id of one that is gone.
func (d *dump) shown(topic [16]byte) string {
	name, known := d.dir.Topic(topic)
	if !known {
		return "(" + name + ")"
	}
	return name
}

func idText(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// when is a record time for people.
func when(ms int64) string {
	if ms < 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05.000")
}

func offsets(base, next int64) string { return fmt.Sprintf("%d-%d", base, next-1) }

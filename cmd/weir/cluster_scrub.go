package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-stream/weir/internal/app/datadir"
	"github.com/weir-stream/weir/internal/app/scrub"
	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/blob/s3"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/meta/etcd"
	"github.com/weir-stream/weir/internal/base/seal"
	"github.com/weir-stream/weir/internal/base/seal/kms"
	"github.com/weir-stream/weir/internal/cli/table"
)

// errScrubbed makes 'cluster scrub' exit with 1.
var errScrubbed = errors.New("damage was found")

type scrubOptions struct {
	meta, blob, data, key string
	rateMiB               float64
	deleteOrphans, quiet  bool
}

func newClusterScrubCommand(s *session) *cobra.Command {
	var o scrubOptions
	cmd := &cobra.Command{
		Use:   "scrub",
		Short: "Read and check everything that is stored; find what nothing names any more",
		Long: `Read every object that the manifests of all shards name and check that it is there, its size, its index and all of its checksums, and that
it has the runs that the checkpoint expects. Each damage is told with the object's key and the position in it; the exit code is 1 if there is one.

Objects that nothing names any more are listed; --delete-orphans deletes them. Which these are is decided by epochs, not by age.

It reads the stores themselves and asks no broker. Brokers of a cluster may run meanwhile. A data directory is read as it is on disk: let its
server be stopped. Keys for the object store come from where the server takes them.`,
		Example: `  weir cluster scrub --meta etcd://10.0.0.1:2379/weir --blob 's3://bucket/prefix' --rate 50
  weir cluster scrub --data /var/lib/weir
  weir cluster scrub --data /var/lib/weir --blob 's3://bucket/prefix' --delete-orphans`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return s.scrub(cmd.Context(), &o) },
	}
	s.addOutput(cmd)
	f := cmd.Flags()
	f.StringVar(&o.meta, "meta", "", "`URL` of the metadata store of a cluster (or WEIR_META)")
	f.StringVar(&o.blob, "blob", "", "`URL` of the object store, as the server's --blob has it (or WEIR_BLOB)")
	f.StringVar(&o.data, "data", "", "data `directory` of a server that does not run, in place of --meta")
	f.StringVar(&o.key, "encryption-key", "", "`URL` of the key of encrypted data (default: WEIR_ENCRYPTION_KEY)")
	f.Float64Var(&o.rateMiB, "rate", 0, "read at most so many `MiB` a second; 0 is no bound")
	f.BoolVar(&o.deleteOrphans, "delete-orphans", false, "delete what nothing names any more")
	f.BoolVar(&o.quiet, "quiet", false, "show no progress")
	return cmd
}

func (s *session) scrub(ctx context.Context, o *scrubOptions) (err error) {
	if o.data == "" {
		o.meta = cmp.Or(o.meta, s.env("WEIR_META"))
	}
	o.blob = cmp.Or(o.blob, s.env("WEIR_BLOB"))
	switch {
	case (o.data == "") == (o.meta == ""):
		return usageErrorf("name what to read: --meta etcd://… and --blob s3://… of a cluster, or --data DIR")
	case o.data == "" && o.blob == "":
		return usageErrorf("name the object store: --blob s3://…")
	case math.IsNaN(o.rateMiB) || o.rateMiB < 0 || o.rateMiB > 1<<20:
		return usageErrorf("--rate must be 0 to 1048576")
	case o.data != "" && o.deleteOrphans && !strings.HasPrefix(o.blob, "s3://"):
		return usageErrorf("orphans in a data directory go with the next start of its server; --delete-orphans needs an object store")
	}
	closers := []func() error{}
	defer func() {
		for _, f := range closers {
			err = errors.Join(err, f())
		}
	}()
	options := scrub.Options{BytesPerSecond: int64(o.rateMiB * (1 << 20)), DeleteOrphans: o.deleteOrphans}
	if strings.HasPrefix(o.blob, "s3://") {
		location, err := s3.ParseURL(o.blob)
		if err != nil {
			return usageErrorf("%v", err)
		}
		store, err := s3.Open(ctx, location)
		if err != nil {
			return err
		}
		closers = append(closers, store.Close)
		options.Blob = store
	}
	var keeper seal.Keeper
	if url := cmp.Or(o.key, s.env("WEIR_ENCRYPTION_KEY")); url != "" {
		k, err := kms.Open(ctx, url)
		if err != nil {
			return err
		}
		closers = append(closers, k.Close)
		keeper = k
	}
	if o.data != "" {
		err = scrubDirectory(ctx, o, keeper, &options)
	} else {
		var store *etcd.Store
		if store, err = s.openMeta(ctx, o.meta); err == nil {
			closers = append(closers, store.Close)
			err = scrubCluster(ctx, store, keeper, &options)
		}
	}
	if err != nil {
		return err
	}
	if !o.quiet {
		options.Progress = s.scrubProgress()
	}
	report, err := scrub.Run(ctx, options)
	if err != nil {
		return err
	}
	err = s.printDocument(report, func(w io.Writer, wide bool) error { return writeScrub(w, wide, &report) })
	if err == nil && len(report.Damage) > 0 {
		err = errScrubbed
	}
	return err
}

func (s *session) openMeta(ctx context.Context, url string) (*etcd.Store, error) {
	location, err := etcd.ParseURL(url)
	if err != nil {
		return nil, usageErrorf("%v", err)
	}
	user, password, err := location.Credentials(s.env)
	if err != nil {
		return nil, err
	}
	return etcd.Open(ctx, etcd.Options{Location: location, Username: user, Password: password})
}

// scrubCluster has the stores of a cluster read.
func scrubCluster(ctx context.Context, store meta.Store, keeper seal.Keeper, o *scrub.Options) error {
	if o.Blob == nil {
		return usageErrorf("the object store of a cluster is s3://…")
	}
	if _, err := store.Get(ctx, seal.RingKey); !errors.Is(err, meta.ErrNotFound) {
		ring, err := seal.OpenRing(ctx, store, keeper, nil)
		if err != nil {
			return err
		}
		store, o.Blob = seal.NewMeta(store, ring), seal.NewBlob(o.Blob, ring)
	}
	o.Read = func(ctx context.Context) (scrub.Metadata, error) { return scrub.ReadMetadata(ctx, store) }
	return nil
}

// scrubDirectory has a data directory read, whose object store is o.Blob if that is not nil.
func scrubDirectory(ctx context.Context, o *scrubOptions, keeper seal.Keeper, options *scrub.Options) error {
	d, err := datadir.Open(ctx, datadir.Options{Root: o.data, Objects: strings.TrimPrefix(o.blob, "file:"), Blob: options.Blob, Keeper: keeper})
	if err != nil {
		return err
	}
	if d.MetadataProblem != nil {
		return d.MetadataProblem
	}
	if options.Blob = d.Store(); options.Blob == nil {
		options.Blob = blob.NewMem() // nothing was ever stored
	}
	options.Read = func(context.Context) (scrub.Metadata, error) { return scrub.OfDirectory(d), nil }
	return nil
}

// scrubProgress tells every few seconds how far a scrub has come.
func (s *session) scrubProgress() func(scrub.Progress) {
	var told time.Time
	return func(p scrub.Progress) {
		if now := s.now(); now.Sub(told) >= 5*time.Second {
			if !told.IsZero() {
				fmt.Fprintf(s.errOut, "%d of %d shards, %d objects, %d MiB read\n", p.ShardsDone, p.Shards, p.Objects, p.Bytes>>20) //nolint:errcheck // progress is a courtesy
			}
			told = now
		}
	}
}

// writeScrub shows what was found to people.
func writeScrub(w io.Writer, wide bool, r *scrub.Report) error {
	if len(r.Damage) > 0 {
		t := &table.Table{Columns: []table.Column{{Title: "DAMAGED OBJECT"}, {Title: "POSITION", Right: true}, {Title: "WHAT"}}}
		for _, d := range r.Damage {
			t.Add(d.Key, strconv.FormatInt(d.Position, 10), d.Reason)
		}
		if err := t.Write(w, wide); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	var bytes int64
	for _, o := range r.Orphans {
		bytes += o.Bytes
	}
	if len(r.Orphans) > 0 {
		t := &table.Table{Columns: []table.Column{{Title: "ORPHAN"}, {Title: "BYTES", Right: true}}}
		for _, o := range r.Orphans {
			t.Add(o.Key, strconv.FormatInt(o.Bytes, 10))
		}
		if err := t.Write(w, wide); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	what := "found"
	if r.Deleted {
		what = "deleted"
	}
	_, err := fmt.Fprintf(w, "%d objects with %d bytes of %d shards read, %d damages found; %d orphans with %d bytes %s.\n", r.Objects, r.Bytes, r.Shards, len(r.Damage), len(r.Orphans), bytes, what)
	return err
}

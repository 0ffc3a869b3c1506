package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-stream/weir/internal/app/backup"
	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/blob/s3"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/seal"
	"github.com/weir-stream/weir/internal/base/seal/kms"
	"github.com/weir-stream/weir/internal/cli/table"
)

func newBackupCommand(s *session) *cobra.Command {
	return newNoun("backup", "Copies of the metadata in the bucket, and restoring from it",
		`Servers with segments in an object store keep copies of their metadata there: topics, configurations, ACLs, users. With one of them, and the
checkpoints that are there anyway, a server whose disk is lost, or a cluster whose etcd is lost, is restored from the bucket alone.`,
		`  weir backup list --blob 's3://bucket/prefix'
  weir backup restore --blob 's3://bucket/prefix' --data /var/lib/weir
  weir backup restore --blob 's3://bucket/prefix' --meta etcd://10.0.0.1:2379/weir`,
		newBackupCreateCommand(s), newBackupListCommand(s), newBackupRestoreCommand(s))
}

// backupOptions say where things are.
type backupOptions struct {
	blob, meta, data, key string
	from                  uint64
	keep                  int
}

func (o *backupOptions) add(cmd *cobra.Command, withMeta bool) {
	f := cmd.Flags()
	f.StringVar(&o.blob, "blob", "", "`URL` of the object store, as the server's --blob has it (or WEIR_BLOB)")
	if withMeta {
		f.StringVar(&o.meta, "meta", "", "`URL` of the metadata store of a cluster (or WEIR_META)")
	}
}

// openBlob opens the object store.
func (o *backupOptions) openBlob(ctx context.Context, s *session) (*s3.Store, error) {
	if o.blob = cmp.Or(o.blob, s.env("WEIR_BLOB")); o.blob == "" {
		return nil, usageErrorf("name the object store: --blob 's3://BUCKET/PREFIX?region=REGION'")
	}
	location, err := s3.ParseURL(o.blob)
	if err != nil {
		return nil, usageErrorf("%v", err)
	}
	return s3.Open(ctx, location)
}

func newBackupCreateCommand(s *session) *cobra.Command {
	var o backupOptions
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Write a copy of a cluster's metadata into the bucket",
		Long:  `Write a copy of what etcd holds for a cluster into its bucket, as of one moment. The cluster may run.`,
		Args:  args(0, 0), Example: "  weir backup create --meta etcd://10.0.0.1:2379/weir --blob 's3://bucket/prefix' --keep 10",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			ctx := cmd.Context()
			if o.meta = cmp.Or(o.meta, s.env("WEIR_META")); o.meta == "" {
				return usageErrorf("name the metadata store: --meta etcd://…")
			}
			objects, err := o.openBlob(ctx, s)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, objects.Close()) }()
			store, err := s.openMeta(ctx, o.meta)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, store.Close()) }()
			info, err := backup.Create(ctx, store, objects, s.now(), o.keep)
			if err != nil {
				return err
			}
			return s.printDocument(info, func(w io.Writer, _ bool) error {
				_, err := fmt.Fprintf(w, "%s: %d keys, %d bytes\n", info.Key, info.Keys, info.Bytes)
				return err
			})
		},
	}
	s.addOutput(cmd)
	o.add(cmd, true)
	cmd.Flags().IntVar(&o.keep, "keep", 0, "delete all but the newest so `many` backups; 0 deletes none")
	return cmd
}

func newBackupListCommand(s *session) *cobra.Command {
	var o backupOptions
	cmd := &cobra.Command{
		Use: "list", Short: "List the copies of the metadata in a bucket", Long: "List the copies of the metadata that a bucket holds, oldest first. Each is read and checked.",
		Args: args(0, 0), Example: "  weir backup list --blob 's3://bucket/prefix'",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			objects, err := o.openBlob(cmd.Context(), s)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, objects.Close()) }()
			list, err := backup.List(cmd.Context(), objects)
			if err != nil {
				return err
			}
			return s.printDocument(list, func(w io.Writer, wide bool) error {
				t := &table.Table{Columns: []table.Column{{Title: "NUMBER", Right: true}, {Title: "TIME"}, {Title: "KEYS", Right: true}, {Title: "BYTES", Right: true}}}
				for _, i := range list {
					t.Add(strconv.FormatUint(i.Number, 10), i.Time.Format(time.RFC3339), strconv.Itoa(i.Keys), strconv.FormatInt(i.Bytes, 10))
				}
				return t.Write(w, wide)
			})
		},
	}
	s.addOutput(cmd)
	o.add(cmd, false)
	return cmd
}

func newBackupRestoreCommand(s *session) *cobra.Command {
	var o backupOptions
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "Rebuild the metadata from a bucket",
		Long: `Rebuild the metadata of a server (--data) or of a cluster (--meta) from what a bucket holds: topics, configurations, ACLs and users as of a
backup. The log of a cluster is in the bucket: every acknowledged record comes back, and brokers that still wrote are shut out. Of a server come the records as of the
newest checkpoint of each shard; what was acknowledged after it is lost with its disk, and how much of it a checkpoint knew of is told.
The metadata store must be empty, and nobody may use the old one any more: no broker that had it may run.`,
		Args: args(0, 0), Example: "  weir backup restore --blob 's3://bucket/prefix' --data /var/lib/weir\n  weir backup restore --blob 's3://bucket/prefix' --meta etcd://10.0.0.1:2379/weir --from 12",
		RunE: func(cmd *cobra.Command, _ []string) error { return s.restore(cmd.Context(), &o) },
	}
	s.addOutput(cmd)
	o.add(cmd, true)
	f := cmd.Flags()
	f.StringVar(&o.data, "data", "", "data `directory` to make, in place of --meta")
	f.StringVar(&o.key, "encryption-key", "", "`URL` of the key of encrypted data (default: WEIR_ENCRYPTION_KEY)")
	f.Uint64Var(&o.from, "from", 0, "`number` of the backup; 0 is the newest")
	return cmd
}

func (s *session) restore(ctx context.Context, o *backupOptions) (err error) {
	if o.data == "" {
		o.meta = cmp.Or(o.meta, s.env("WEIR_META"))
	}
	if (o.data == "") == (o.meta == "") {
		return usageErrorf("name what to rebuild: --meta etcd://… or --data DIR")
	}
	objects, err := o.openBlob(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, objects.Close()) }()
	var store meta.Store
	if o.data != "" {
		if err := os.MkdirAll(o.data, 0o750); err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(o.data, "wal")); err == nil {
			return fmt.Errorf("%s has a write-ahead log: %w", o.data, backup.ErrNotEmpty)
		}
		store, err = meta.OpenPebble(filepath.Join(o.data, "meta"), meta.PebbleOptions{})
	} else {
		store, err = s.openMeta(ctx, o.meta)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	r, err := backup.Restore(ctx, backup.Options{
		Store: store, Objects: objects, Number: o.from, Cluster: o.data == "", Now: s.now(),
		Open: func() (meta.Store, blob.Store, error) {
			return openSealed(ctx, store, objects, cmp.Or(o.key, s.env("WEIR_ENCRYPTION_KEY")))
		},
	})
	if err != nil {
		return err
	}
	return s.printDocument(r, func(w io.Writer, _ bool) error { return printRestored(w, &r) })
}

func printRestored(w io.Writer, r *backup.Restored) error {
	_, err := fmt.Fprintf(w, "Metadata of %s (%d keys), and %d shards: %d with all that was acknowledged, %d as of their checkpoints. %d bytes that a checkpoint knew were in a log that is lost. %d manifests were passed over.\n",
		r.Backup.Time.Format(time.RFC3339), r.Backup.Keys, r.Shards, r.Whole, r.Shards-r.Whole, r.DroppedBytes, len(r.Passed))
	t := &r.Transactions
	if err != nil || t.Aborted+t.Committed == 0 {
		return err
	}
	var names []string
	for _, a := range t.AbortedList {
		names = append(names, cmp.Or(a.TransactionalID, "of an unknown id")+fmt.Sprintf(" (producer %d, epoch %d)", a.ProducerID, a.ProducerEpoch))
	}
	if more := t.Aborted - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	_, err = fmt.Fprintf(w, "The markers of %d transactions are lost: %d were committed, as what is left says, and %d were aborted", t.Aborted+t.Committed, t.Committed, t.Aborted)
	if len(names) > 0 && err == nil {
		_, err = fmt.Fprintf(w, ": %s", strings.Join(names, ", "))
	}
	if err == nil {
		_, err = fmt.Fprintln(w, ".")
	}
	return err
}

// openSealed returns stores seen through their encryption, if there is one.
func openSealed(ctx context.Context, store meta.Store, objects blob.Store, keyURL string) (meta.Store, blob.Store, error) {
	if _, err := store.Get(ctx, seal.RingKey); errors.Is(err, meta.ErrNotFound) {
		return store, objects, nil
	}
	var keeper seal.Keeper
	if keyURL != "" {
		k, err := kms.Open(ctx, keyURL)
		if err != nil {
			return nil, nil, err
		}
		defer k.Close() //nolint:errcheck // the ring holds the keys from here on
		keeper = k
	}
	ring, err := seal.OpenRing(ctx, store, keeper, nil)
	if err != nil {
		return nil, nil, err
	}
	return seal.NewMeta(store, ring), seal.NewBlob(objects, ring), nil
}

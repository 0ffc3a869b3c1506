package wal

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/base/vfs"
)

// Options configures a Log. FS, Dir and Incarnation must be set.
type Options struct {
	FS  vfs.FS
	Dir string // of this log alone; it must exist, its name must be durable

	ClusterID   [16]byte
	Incarnation uint64   // of this life of the broker; higher than all before
	Nonce       [16]byte // random, new for every incarnation, not shown to clients

	// Start is where the incarnation begins: a position that no earlier incarnation has used, at the begin of a
	// file, as ScanResult.NextStart gives it.
	Start Position
	// Recovered is ScanResult.End of the Scan before this incarnation, 0 if unknown. Later scans take it as proof that the
	// log was whole up to there, and that what lies between it and Start is not part of the log.
	Recovered Position

	FileBytes  int64 // of one file; 0: 128 MiB; a multiple of 4 KiB in [16 KiB, 4 GiB]
	GroupBytes int   // batch bytes near which a group is closed, if it has more than one batch; 0: 1 MiB
	QueueBytes int64 // batch bytes in memory, not yet durable, above which Admit blocks; 0: 64 MiB
	RingBytes  int64 // of the last frames that stay in memory for readers of the tail; 0: 32 MiB
	MaxBytes   int64 // most that the files of the chain may take on disk; 0: no limit but the disk
	LeaveBytes int64 // of the disk that the log does not grow into, for what must be written when it is full; 0: none
	SpareFiles int   // trimmed files kept for reuse, and files prepared ahead in a burst; 0: 2

	// OnDurable, if not nil, is called for every durable frame that has content, in order, one at a time, before its tickets
	// complete. It must be quick, must not call Append, and must not keep the frame.
	OnDurable func(*Frame)

	Logger     *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: metrics are not registered
}

func (o Options) withDefaults() Options {
	if o.FileBytes == 0 {
		o.FileBytes = 128 << 20
	}
	if o.GroupBytes == 0 {
		o.GroupBytes = 1 << 20
	}
	if o.QueueBytes == 0 {
		o.QueueBytes = 64 << 20
	}
	if o.RingBytes == 0 {
		o.RingBytes = 32 << 20
	}
	if o.SpareFiles == 0 {
		o.SpareFiles = 2
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func (o *Options) validate() error {
	switch {
	case o.FS == nil || o.Dir == "":
		return errors.New("wal: no directory given")
	case !validFileBytes(o.FileBytes):
		return fmt.Errorf("wal: file size %d is not a multiple of 4 KiB in [16 KiB, 4 GiB]", o.FileBytes)
	case o.GroupBytes < 0 || o.QueueBytes < 0 || o.RingBytes < 0 || o.MaxBytes < 0 || o.LeaveBytes < 0 || o.SpareFiles < 0:
		return errors.New("wal: negative size")
	case o.Start < 0 || o.Start%pageBytes != 0 || o.Start > maxPosition/2:
		return fmt.Errorf("wal: start position %v is not the begin of a file", o.Start)
	case o.Recovered < 0 || o.Recovered > o.Start:
		return fmt.Errorf("wal: the log ends at %v, beyond the start %v of the incarnation", o.Recovered, o.Start)
	}
	return nil
}

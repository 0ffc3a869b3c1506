package shard

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/base/pacer"
	"github.com/weir-stream/weir/internal/broker/wal"
)

// Cuts and merges yield to clients for as long as they can wait (package pacer). This file says how long that is: what may happen from the begin of
// one to its end. Each bound is one that the store keeps anyhow, and some room beyond the point at which it sets to work.

// within is the time for a cut, or for the merges of a round: the next checkpoint waits for it.
func (s *Store) within() time.Duration {
	d := s.o.CheckpointInterval / 2
	if s.o.UploadMaxAge > 0 {
		d = min(d, s.o.UploadMaxAge/4)
	}
	return d
}

// cutWork begins the cut of all that lies between the last one and end in a log in files.
//
// Bytes: the log may grow by a quarter of what it keeps beyond that, and takes no more than half of the room that it is told of, or that the disk has besides the objects to be made. Frames: what a
// start replays. Extents: memory.
func (s *Store) cutWork(l *life, end wal.Position) *pacer.Work {
	total, held := int64(end-s.cutEnd), l.files.Bytes()
	limits := []pacer.Limit{
		soft(s.durable.Load, s.o.WALKeepBytes+s.o.WALKeepBytes/4-held, s.o.WALKeepBytes),
		soft(s.written.Load, checkpointFileFrames-s.written.Load(), checkpointFileFrames),
		s.extentsRoom(l),
	}
	if s.o.WALMaxBytes > 0 {
		limits = append(limits, pacer.Limit{Used: s.durable.Load, Room: (s.o.WALMaxBytes - held) / 2, Hard: true})
	}
	if usage, err := s.Free(); err == nil {
		free := int64(usage.FreeBytes)
		if !s.o.Remote {
			free -= total
		}
		limits = append(limits, pacer.Limit{Used: s.durable.Load, Room: free / 2, Hard: true})
	}
	return s.pacer.Begin(min(total, held), s.within(), limits...)
}

// extentsRoom is the memory of the index: a quarter more than what makes a cut due.
func (s *Store) extentsRoom(l *life) pacer.Limit {
	most := int64(s.o.ExtentsMax)
	return soft(l.env.Extents, most/4*5-l.env.Extents(), most)
}

// soft is a limit that may be passed: nothing is lost if it is, and nothing more while it stands still. It has at least a sixteenth of its bound as room.
func soft(used func() int64, room, bound int64) pacer.Limit {
	return pacer.Limit{Used: used, Room: max(room, bound/16)}
}

// besideBytes is how much of a burst is cut a second beside clients, if nothing else presses: it is read back and written.
const besideBytes = 48 << 20

// checkpointWork begins the cut of what a log of objects holds up to mark, as part of a checkpoint of all shards. It is to end before a quarter as many frames more are
// there: a fail-over reads all of them, and each extent is memory. What a burst has left takes longer than the next checkpoint would wait.
func (s *Store) checkpointWork(l *life, mark wal.Mark) *pacer.Work {
	l.remembered = l.objects.Remembered()
	bytes := int64(mark.Pos - l.cutTo.Pos)
	within := max(s.within(), time.Duration(bytes/besideBytes)*time.Second)
	return s.pacer.Begin(bytes, within, soft(s.written.Load, max(checkpointObjectFrames, int64(mark.Seq-l.cutTo.Seq))/4, checkpointObjectFrames), s.extentsRoom(l))
}

// mergeWork begins a merge of so many bytes, which is to end before the next cut or checkpoint is due, and with the others of its round at until.
func (s *Store) mergeWork(bytes int64, until time.Time) *pacer.Work {
	l, frames := s.present.Load(), int64(checkpointFileFrames)
	var limits []pacer.Limit
	if l.objects != nil {
		frames = checkpointObjectFrames
	} else {
		limits = append(limits, soft(s.durable.Load, s.o.WALKeepBytes-l.files.Bytes(), s.o.WALKeepBytes))
	}
	return s.pacer.Begin(bytes, time.Until(until), append(limits, soft(s.written.Load, frames-s.written.Load(), frames))...)
}

// registerUncut shows what is still to be cut, as it is when metrics are asked for.
func (s *Store) registerUncut(r prometheus.Registerer) {
	if r == nil {
		return
	}
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "weir_storage_uncut_bytes", Help: "Bytes of batches in the write-ahead log that no segment holds yet."}, func() float64 {
		bytes, _, _ := s.pendingExtents()
		return float64(bytes)
	}))
}

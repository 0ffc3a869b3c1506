// Command partitions measures what many partitions cost a cluster in requests to its object store and in metadata, and puts the figures beside
// what internal/sim/cost computes for the same load. bench/partitions.sh starts the cluster and runs it.
//
//	CLUSTER_DIR=... go run ./bench/partitions -bootstrap HOSTS -etcd URL -topics 700 -partitions 14 -rate 20000 -seconds 60
//
// It creates topics, writes evenly to all of their partitions at a fixed rate, one record after the other, and reads three places: the brokers'
// metrics before and after, the keys of etcd, and the sizes of the objects in the S3 server's folder. Acknowledgements are timed from when a record was due.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

type options struct {
	bootstrap, etcd, dir string
	topics, partitions   int
	rate, bytes          int
	seconds, warmup      int
}

func main() {
	var o options
	flag.StringVar(&o.bootstrap, "bootstrap", os.Getenv("BOOTSTRAP"), "addresses of brokers")
	flag.StringVar(&o.etcd, "etcd", "", "URL of etcd")
	flag.StringVar(&o.dir, "dir", os.Getenv("CLUSTER_DIR"), "folder of the cluster, as test/cluster.sh makes it")
	flag.IntVar(&o.topics, "topics", 715, "topics")
	flag.IntVar(&o.partitions, "partitions", 14, "partitions of each")
	flag.IntVar(&o.rate, "rate", 10_000, "records a second")
	flag.IntVar(&o.bytes, "bytes", 1000, "of a record's value")
	flag.IntVar(&o.seconds, "seconds", 60, "how long is measured")
	flag.IntVar(&o.warmup, "warmup", 15, "seconds of load before")
	flag.Parse()
	if err := run(context.Background(), &o); err != nil {
		fmt.Fprintln(os.Stderr, "partitions:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o *options) error {
	files, err := filepath.Glob(filepath.Join(o.dir, "broker-*", "run.json"))
	if err != nil || len(files) == 0 {
		return errors.Join(err, fmt.Errorf("no broker in %q", o.dir))
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(o.bootstrap, ",")...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(50*time.Millisecond),
		kgo.MaxBufferedRecords(1<<20), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return err
	}
	defer client.Close()
	r := &report{o: o, brokers: len(files)}
	if r.before, err = metadataOf(ctx, o.etcd); err != nil {
		return err
	}
	begin := time.Now()
	if err := create(ctx, kadm.NewClient(client), o); err != nil {
		return err
	}
	r.created = time.Since(begin)
	if r.after, err = metadataOf(ctx, o.etcd); err != nil {
		return err
	}
	l := &load{client: client, o: o}
	if err := l.run(ctx, time.Duration(o.warmup)*time.Second); err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	l.took = nil
	if r.from, err = metricsOf(ctx, files); err != nil {
		return err
	}
	begin = time.Now()
	if err := l.run(ctx, time.Duration(o.seconds)*time.Second); err != nil {
		return err
	}
	r.elapsed = time.Since(begin)
	if r.to, err = metricsOf(ctx, files); err != nil {
		return err
	}
	if r.loaded, err = metadataOf(ctx, o.etcd); err != nil {
		return err
	}
	if r.objects, err = objectsOf(filepath.Join(o.dir, "s3", "weir", "data")); err != nil {
		return err
	}
	slices.Sort(l.took)
	r.acks = l.took
	r.write(os.Stdout)
	return nil
}

func topicName(i int) string { return fmt.Sprintf("team-%d.service-%d.events-%d", i%50, i%700, i) }

func create(ctx context.Context, admin *kadm.Client, o *options) error {
	for first := 0; first < o.topics; first += 100 {
		var names []string
		for i := first; i < min(first+100, o.topics); i++ {
			names = append(names, topicName(i))
		}
		answers, err := admin.CreateTopics(ctx, int32(o.partitions), -1, nil, names...)
		if err == nil {
			err = answers.Error()
		}
		if err != nil {
			return fmt.Errorf("create topics: %w", err)
		}
	}
	return nil
}

// load writes to all partitions in turns.
type load struct {
	client *kgo.Client
	o      *options
	next   int

	mu     sync.Mutex
	took   []time.Duration // until the acknowledgement
	failed error           // the first
}

// run writes for a time and waits for all acknowledgements.
func (l *load) run(ctx context.Context, d time.Duration) error {
	body := make([]byte, l.o.bytes)
	begin, count := time.Now(), int(d.Seconds()*float64(l.o.rate))
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for sent := 0; sent < count; {
		due := min(count, int(time.Since(begin).Seconds()*float64(l.o.rate)))
		for ; sent < due; sent++ {
			at := begin.Add(time.Duration(float64(sent) / float64(l.o.rate) * float64(time.Second)))
			p := l.next % (l.o.topics * l.o.partitions)
			l.next++
			r := &kgo.Record{Topic: topicName(p % l.o.topics), Partition: int32(p / l.o.topics), Value: body}
			l.client.Produce(ctx, r, func(_ *kgo.Record, err error) { l.acknowledged(time.Since(at), err) })
		}
		<-tick.C
	}
	if err := l.client.Flush(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

func (l *load) acknowledged(took time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.took = append(l.took, took); l.failed == nil {
		l.failed = err
	}
}

package app_test

import (
	"context"
	"crypto/tls"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/app"
	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/peer"
)

// tlsBetweenBrokers are settings by which a broker shows a certificate of one authority and trusts those of another.
func tlsBetweenBrokers(shown, trusted *authority, name string) []string {
	return []string{
		"cluster.tls=true", "cluster.balance.settle.ms=0", "transaction.state.log.num.partitions=6",
		"listener.name.weir.ssl.keystore.type=PEM", "listener.name.weir.ssl.keystore.location=" + shown.store(name+".pem", pkix.Name{CommonName: name}),
		"listener.name.weir.ssl.truststore.type=PEM", "listener.name.weir.ssl.truststore.location=" + trusted.dir + "/ca.pem",
	}
}

// spanning runs transactions over all partitions, whose markers their coordinators send to the owners.
func spanning(ctx context.Context, t *testing.T, j *joined, topic, prefix string) error {
	t.Helper()
	for i := range 6 { // ids at several coordinators
		cl, err := kgo.NewClient(kgo.SeedBrokers(j.Addresses()["kafka"]), kgo.TransactionalID(fmt.Sprint(prefix, i)), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RetryTimeout(5*time.Second))
		if err != nil {
			return err
		}
		err = cl.BeginTransaction()
		for p := range int32(6) {
			err = errors.Join(err, cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: p, Value: []byte("v")}).FirstErr())
		}
		err = errors.Join(err, cl.EndTransaction(ctx, kgo.TryCommit))
		cl.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func TestBrokersSpeakTLSToEachOther(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t), newAuthority(t)
	store, objects := meta.NewMem(nil), blob.NewMem()
	one := startJoined(t, store, objects, tlsBetweenBrokers(ours, ours, "one")...)
	two := startJoined(t, store, objects, tlsBetweenBrokers(ours, ours, "two")...)
	one.until(t, "shards at both brokers", func(s app.ClusterStatus) bool {
		return len(s.Brokers) == 2 && len(s.Unowned) == 0 && s.Moving == 0 && owned(s, 1) > 0 && owned(s, 2) > 0
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(one.Addresses()["kafka"]))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	if _, err := kadm.NewClient(cl).CreateTopic(ctx, 6, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	if err := spanning(ctx, t, two, "t", "x"); err != nil {
		t.Fatal(err)
	}
	for least := int64(0); least < 12; { // a record and a marker of each transaction; the last markers follow the answer
		ends, err := kadm.NewClient(cl).ListCommittedOffsets(ctx, "t")
		if err = errors.Join(err, ends.Error()); err != nil {
			t.Fatalf("partitions are committed up to %d at least, want 12: %v", least, err)
		}
		least = 12
		ends.Each(func(o kadm.ListedOffset) { least = min(least, o.Offset) })
	}
	for name, dialing := range map[string]*tls.Config{
		"no TLS":                           nil,
		"no certificate":                   {InsecureSkipVerify: true},                                                           //nolint:gosec // the stranger checks nothing
		"a certificate of somebody else's": {InsecureSkipVerify: true, Certificates: []tls.Certificate{theirs.pair("stranger")}}, //nolint:gosec // the same
	} {
		if err := callAs(ctx, one, dialing); !errors.Is(err, peer.ErrUnreachable) {
			t.Errorf("%s: %v, want %v", name, err, peer.ErrUnreachable)
		}
	}
	good := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{ours.pair("another")}} //nolint:gosec // what the other side checks counts here
	if err := callAs(ctx, one, good); err != nil {
		t.Errorf("with a certificate of the authority: %v", err)
	}
}

// callAs asks a broker on the listener for brokers, with the secret of the cluster. dialing is nil for a connection without TLS.
func callAs(ctx context.Context, j *joined, dialing *tls.Config) error {
	o := peer.Options{Directory: j.Directory(), User: auth.BrokerUser, Secret: j.PeerSecret(), Logger: slog.New(slog.DiscardHandler)}
	if dialing != nil {
		o.TLS = func(string) *tls.Config { return dialing }
	}
	_, err := peer.New(o).Do(ctx, 1, kmsg.NewPtrDescribeClusterRequest())
	return err
}

// pair returns a certificate and its key.
func (a *authority) pair(name string) tls.Certificate {
	a.t.Helper()
	file := a.store(name+".pem", pkix.Name{CommonName: name})
	c, err := tls.LoadX509KeyPair(file, file)
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

// A broker whose certificate the others do not trust owns shards, and nobody gets through to it.
func TestBrokerWithAForeignCertificateIsNotAsked(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t), newAuthority(t)
	store, objects := meta.NewMem(nil), blob.NewMem()
	one := startJoined(t, store, objects, tlsBetweenBrokers(ours, ours, "one")...)
	startJoined(t, store, objects, tlsBetweenBrokers(theirs, ours, "foreign")...)
	one.until(t, "two brokers", func(s app.ClusterStatus) bool { return len(s.Brokers) == 2 && s.Brokers[1].Ready })
	if err := one.CallPeer(t.Context(), 2, kmsg.NewPtrDescribeClusterRequest()); !errors.Is(err, peer.ErrUnreachable) {
		t.Errorf("the foreign broker: %v, want %v", err, peer.ErrUnreachable)
	}
}

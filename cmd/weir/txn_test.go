package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/weirtest"
)

// TestTransactionScript runs the command lines of testdata/transactions.txt against a server with an open transaction.
func TestTransactionScript(t *testing.T) {
	t.Parallel()
	server := weirtest.Start(t, weirtest.Topic("orders", 2), weirtest.Setting("node.id", "1"))
	cl, err := kgo.NewClient(kgo.SeedBrokers(server.Addr()), kgo.TransactionalID("billing"), kgo.DefaultProduceTopic("orders"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(t.Context(), kgo.StringRecord("a"), &kgo.Record{Partition: 1, Value: []byte("b")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join("testdata", "transactions.txt"))
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "transactions.txt", runScript(t, server, "", string(text)))
}

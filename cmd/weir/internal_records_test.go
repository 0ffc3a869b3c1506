package main

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/weirtest"
)

// transactionRow is a record of __transaction_state as it is printed.
type transactionRow struct {
	Topic string `json:"topic"`
	Key   struct {
		Type string `json:"type"`
		Data struct {
			ID string `json:"transactionalId"`
		} `json:"data"`
	} `json:"key"`
	Value struct {
		Version string `json:"version"`
		Data    struct {
			Status     int `json:"transactionStatus"`
			Partitions []struct {
				Topic      string  `json:"topic"`
				Partitions []int32 `json:"partitionIds"`
			} `json:"transactionPartitions"`
		} `json:"data"`
	} `json:"value"`
}

// commitOne writes a record to topic in the transaction of a producer that is named payments.
func commitOne(t *testing.T, address, topic string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.TransactionalID("payments"), kgo.DefaultProduceTopic(topic), kgo.AllowAutoTopicCreation())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(t.Context(), kgo.StringRecord("one")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := cl.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
}

// checkTransaction holds printed records against the life of one transaction: empty, ongoing with its partition, prepared, and, which may
// follow after the answer to its end, complete.
func checkTransaction(t *testing.T, rows []transactionRow) {
	t.Helper()
	var states []int
	for _, r := range rows {
		if r.Topic != kafka.TransactionStateTopic || r.Key.Type != "0" || r.Key.Data.ID != "payments" || r.Value.Version != "1" {
			t.Errorf("got %+v", r)
		}
		states = append(states, r.Value.Data.Status)
		if p := r.Value.Data.Partitions; r.Value.Data.Status == 2 && (len(p) != 1 || p[0].Topic != "orders" || len(p[0].Partitions) != 1) {
			t.Errorf("the prepared transaction has partitions %+v, want one of orders", p)
		}
	}
	if len(states) < 3 || !slices.Equal(states, []int{0, 1, 2, 4}[:len(states)]) {
		t.Errorf("states %v, want 0 1 2 and, if it was written by then, 4", states)
	}
}

func TestDumpDecodesTheTransactionLog(t *testing.T) {
	t.Parallel()
	dir := dataDirAfter(t, func(address string) { commitOne(t, address, "orders") })
	checkTransaction(t, dumped[transactionRow](t, "wal --records --partition __transaction_state "+dir))

	raw := dumped[map[string]any](t, "wal --records --raw --partition __transaction_state "+dir)
	if len(raw) == 0 || raw[0]["key"] != "\x00\x00\x00\x08payments" && raw[0]["key_base64"] == nil {
		t.Errorf("as they are: got %+v", raw)
	}
}

func TestConsumeDecodesTheTransactionLog(t *testing.T) {
	t.Parallel()
	server := weirtest.Start(t)
	commitOne(t, server.Addr(), "orders")
	s, out, errOut := brokerSession(server, "")
	if code := run(t.Context(), s, words(t, "topic consume __transaction_state --until-end --output ndjson")); code != exitDone {
		t.Fatalf("exit code %d, %s", code, errOut)
	}
	checkTransaction(t, decodedLines[transactionRow](t, out.String()))
}

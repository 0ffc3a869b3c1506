package weirtest_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/serde"
	"github.com/weir-stream/weir/weirtest"
)

// Payment is what the program below writes and reads.
type Payment struct {
	ID     int64     `avro:"id"`
	Amount float64   `avro:"amount"`
	At     time.Time `avro:"at,timestamp-micros"`
}

const paymentSchema = `{"type":"record","name":"Payment","namespace":"shop","fields":[
	{"name":"id","type":"long"},
	{"name":"amount","type":"double"},
	{"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}}]}`

// payments writes n payments to a topic and returns what it reads back.
func payments(ctx context.Context, brokers, registry string, n int) ([]Payment, error) {
	schemas, err := serde.NewClient(serde.ClientOptions{URLs: []string{registry}})
	if err != nil {
		return nil, err
	}
	out, err := serde.NewSerializer(schemas, serde.SerializerOptions{Schema: &serde.Schema{Text: paymentSchema}})
	if err != nil {
		return nil, err
	}
	in, err := serde.NewDeserializer(schemas, serde.DeserializerOptions{})
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.DefaultProduceTopic("payments"), kgo.ConsumeTopics("payments"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	for i := range n {
		value, _, err := out.Serialize(ctx, "payments", Payment{ID: int64(i), Amount: 9.5, At: time.UnixMicro(int64(i)).UTC()})
		if err != nil {
			return nil, err
		}
		if err := client.ProduceSync(ctx, &kgo.Record{Value: value}).FirstErr(); err != nil {
			return nil, err
		}
	}
	var read []Payment
	for len(read) < n {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		for it := fetches.RecordIter(); !it.Done(); {
			var p Payment
			if err := in.Deserialize(ctx, "payments", it.Next().Value, nil, &p); err != nil {
				return nil, err
			}
			read = append(read, p)
		}
	}
	return read, nil
}

// A program that writes and reads Avro, tested with a broker and a Schema Registry in the test's own process.
func ExampleRegistry() {
	testPayments := func(t *testing.T) {
		server := weirtest.Start(t, weirtest.Registry(), weirtest.Topic("payments", 1))
		got, err := payments(t.Context(), server.Addr(), server.RegistryURL(), 3)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(got)
	}
	_ = testPayments // go test calls it
}

func TestPaymentsGoThroughTheRegistry(t *testing.T) {
	t.Parallel()
	server := weirtest.Start(t, weirtest.Registry(), weirtest.Topic("payments", 1))
	got, err := payments(t.Context(), server.Addr(), server.RegistryURL(), 3)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got[2] != (Payment{2, 9.5, time.UnixMicro(2).UTC()}) {
		t.Errorf("got %v", got)
	}
}

// TestDeletedKeyMakesRecordsUnreadable goes the whole way of a field that is encrypted: a key that the registry shares, and its end.
func TestDeletedKeyMakesRecordsUnreadable(t *testing.T) {
	t.Parallel()
	server := weirtest.Start(t, weirtest.Registry())
	kms, err := serde.LocalKMS("a secret")
	if err != nil {
		t.Fatal(err)
	}
	schemas, err := serde.NewClient(serde.ClientOptions{URLs: []string{server.RegistryURL()}, KMS: map[string]serde.KMS{"local-kms": kms}})
	if err != nil {
		t.Fatal(err)
	}
	schema := serde.Schema{
		Text: `{"type":"record","name":"P","fields":[{"name":"name","type":"string","confluent:tags":["PII"]}]}`,
		RuleSet: &serde.RuleSet{DomainRules: []serde.Rule{{
			Name: "pii", Kind: "TRANSFORM", Mode: "WRITEREAD", Type: "ENCRYPT", Tags: []string{"PII"},
			Params: map[string]string{"encrypt.kek.name": "people", "encrypt.kms.type": "local-kms", "encrypt.kms.key.id": "k"},
		}}},
	}
	out, err := serde.NewSerializer(schemas, serde.SerializerOptions{Schema: &schema})
	if err != nil {
		t.Fatal(err)
	}
	in, err := serde.NewDeserializer(schemas, serde.DeserializerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	data, _, err := out.Serialize(t.Context(), "people", map[string]string{"name": "Ada"})
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Name string }
	if err := in.Deserialize(t.Context(), "people", data, nil, &got); err != nil || got.Name != "Ada" {
		t.Errorf("got %+v, %v", got, err)
	}
	keys := server.RegistryURL() + "/dek-registry/v1/keks/people"
	for _, path := range []string{"/deks/people-value", "/deks/people-value?permanent=true", "", "?permanent=true"} {
		remove(t, keys+path)
	}
	schemas.ForgetKeys()
	if err := in.Deserialize(t.Context(), "people", data, nil, &got); err == nil {
		t.Errorf("read %+v though the key is gone", got)
	}
}

func remove(t *testing.T, url string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil || res.StatusCode != http.StatusNoContent {
		t.Errorf("DELETE %s: %s, %v", url, res.Status, err)
	}
}

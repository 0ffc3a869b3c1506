// Command registryclient runs two Go clients of Schema Registries, franz-go's sr and that of confluent-kafka-go, against the broker at $BOOTSTRAP
// and the registry at $REGISTRY. It prints a line PASS or FAIL for each check. See ../../README.md.
//
// confluent-kafka-go is held at 2.8: later serializers import its Kafka client, which is librdkafka and needs cgo.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	servers = strings.Split(os.Getenv("BOOTSTRAP"), ",")
	url     = os.Getenv("REGISTRY")
	run     = os.Getenv("RUN") + "-registry-go"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	ok := franzChecks(ctx)
	ok = confluentChecks(ctx) && ok
	if !ok {
		cancel()
		os.Exit(1) //nolint:gocritic // cancelled above
	}
}

type check struct {
	name string
	run  func(ctx context.Context) error
}

func all(ctx context.Context, checks []check) bool {
	ok := true
	for _, c := range checks {
		if err := c.run(ctx); err != nil {
			ok = false
			fmt.Printf("FAIL %s: %s\n", c.name, strings.ReplaceAll(err.Error(), "\n", " "))
			continue
		}
		fmt.Printf("PASS %s\n", c.name)
	}
	return ok
}

// through returns what comes out of the topic when payloads have gone in.
func through(ctx context.Context, topic string, payloads ...[]byte) ([][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(servers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, 1, 1, nil, topic); err != nil {
		return nil, err
	}
	for _, p := range payloads {
		if err := client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: p}).FirstErr(); err != nil {
			return nil, err
		}
	}
	var got [][]byte
	for len(got) < len(payloads) {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("%d of %d records: %w", len(got), len(payloads), err)
		}
		fetches.EachRecord(func(r *kgo.Record) { got = append(got, r.Value) })
	}
	return got, nil
}

func equal[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s: got %v, want %v", what, got, want)
	}
	return nil
}

func contains(err error, texts ...string) error {
	if err == nil {
		return errors.New("no error")
	}
	for _, t := range texts {
		if !strings.Contains(err.Error(), t) {
			return fmt.Errorf("got %w, want %q in it", err, t)
		}
	}
	return nil
}

const (
	avroUser = `{"type":"record","name":"User","namespace":"weir","fields":[{"name":"name","type":"string"},{"name":"age","type":"long","default":0}%s]}`
	note     = "syntax = \"proto3\";\npackage weir;\nimport \"google/protobuf/timestamp.proto\";\nmessage First { int32 a = 1; }\nmessage Note { string text = 1; google.protobuf.Timestamp at = 2; %s }"
	point    = `{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","additionalProperties":false,"required":["x"],"properties":{"x":{"type":"%s"},"y":{"type":"number"}%s}}`
)

package app_test

import (
	"slices"
	"testing"

	"github.com/weir-stream/weir/internal/app"
	"github.com/weir-stream/weir/internal/broker/topics"
)

// TestSettingsChangeWhileRunningAsInKafka: what acts here is declared beside the code that reads it, and must not lose by
// that what Kafka lets change without a restart.
func TestSettingsChangeWhileRunningAsInKafka(t *testing.T) {
	t.Parallel()
	schema, err := app.Schema()
	if err != nil {
		t.Fatal(err)
	}
	withRestart := []string{"listeners", "listener.security.protocol.map"}
	for _, d := range topics.Known() {
		k := d.Setting()
		s, ok := schema.Lookup(k.Name())
		if !ok {
			t.Fatalf("%s is missing", k.Name())
		}
		if s.Type() != k.Type() {
			t.Errorf("%s is of type %s, in Kafka %s", k.Name(), s.Type(), k.Type())
		}
		if s.Mode() != k.Mode() && !slices.Contains(withRestart, k.Name()) {
			t.Errorf("%s is %s, in Kafka %s", k.Name(), s.Mode(), k.Mode())
		}
	}
}

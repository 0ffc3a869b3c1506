package weirtest_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/weirtest"
)

// A test function starts a server and hands its address to the code under test. The server stops with the test.
func ExampleStart() {
	testOrders := func(t *testing.T) {
		server := weirtest.Start(t, weirtest.Topic("orders", 3), weirtest.Setting("message.max.bytes", "1048588"))
		client, err := kgo.NewClient(kgo.SeedBrokers(server.Addr()), kgo.DefaultProduceTopic("orders"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		if err := client.ProduceSync(t.Context(), kgo.StringRecord("one order")).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	_ = testOrders // go test calls it
}

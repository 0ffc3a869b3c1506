package broker

import (
	"testing"

	"github.com/weir-stream/weir/internal/base/config"
)

func TestOverridesOfConnectionsCountForTheirAddress(t *testing.T) {
	t.Parallel()
	schema, err := config.NewSchema(ConnectionsMaxPerIP, ConnectionsPerIPOverrides)
	if err != nil {
		t.Fatal(err)
	}
	v, err := schema.Defaults().With(config.FromDynamicBroker, map[string]string{
		ConnectionsMaxPerIP.Name(): "7", ConnectionsPerIPOverrides.Name(): "10.0.0.7:200, ::1:50,broker.example:3,10.0.0.8:0",
	})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{"10.0.0.7": 200, "::ffff:10.0.0.7": 200, "::1": 50, "10.0.0.8": 0, "10.0.0.9": 7, "broker.example": 7, "": 7} {
		if got := connectionsFrom(host, v); got != want {
			t.Errorf("connections from %q: got %d, want %d", host, got, want)
		}
	}
	for _, bad := range []string{"x", ":5", "10.0.0.7", "10.0.0.7:", "10.0.0.7:-1", "10.0.0.7:x", "[::1]:5", "10.0.0.7:99999999999"} {
		if err := checkOverrides(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

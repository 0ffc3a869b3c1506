package conformance

import (
	"net/http"
	"testing"

	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// TestKnownDifferencesOfAnotherRegistry runs the suite on a registry that was made by others. It shows two things: the runner finds
// what differs and only that, and each case that this registry passes has been judged by somebody else's reading of the interface.
func TestKnownDifferencesOfAnotherRegistry(t *testing.T) {
	t.Parallel()
	peer := srfake.New()
	t.Cleanup(peer.Close)
	results, err := Run(t.Context(), Options{URL: peer.URL(), Client: &http.Client{}, Peer: "srfake", Run: "peer"})
	if err != nil {
		t.Fatal(err)
	}
	count := map[Outcome]int{}
	for _, r := range results {
		count[r.Outcome]++
		switch r.Outcome {
		case Failed:
			t.Errorf("%s %s: %s\n  %s\n  expected %s\n  got %s", r.Where, r.Group, r.Case, r.Request, r.Expected, r.Got)
		case Agrees:
			t.Errorf("%s %s: %s: is said to differ (%s), and does not", r.Where, r.Group, r.Case, r.Why)
		}
	}
	if count[Passed] < 100 {
		t.Errorf("%d cases passed, want 100 at least: %v", count[Passed], count)
	}
}

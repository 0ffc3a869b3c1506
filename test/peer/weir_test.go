package peer

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/weir-stream/weir/weirtest"
)

// TestWeirAnswersAsKafkaDid runs every scene on a server of its own in this process (scenes share names that no client can
// choose apart, such as the group ""), with the settings that the golden answers were recorded with. It needs no other
// broker; TestAnswersEqualKafkas compares with a running one.
func TestWeirAnswersAsKafkaDid(t *testing.T) {
	t.Parallel()
	scenes, err := Load("testdata")
	if err != nil {
		t.Fatal(err)
	}
	allowed, err := LoadAllowances("testdata/differences.txt")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("scenes", func(t *testing.T) {
		for _, s := range scenes {
			own := ofScene(allowed, s.Name)
			t.Run(s.Name, func(t *testing.T) {
				t.Parallel()
				addr := weirtest.Start(t, brokerSettings(t)...).Addr()
				var id [4]byte
				_, _ = rand.Read(id[:]) // never fails
				got, err := NewRunner(addr, hex.EncodeToString(id[:]), time.Now()).Run(t.Context(), s)
				if err != nil {
					t.Fatal(err)
				}
				Excuse(own, s.Golden(), got)
				for _, d := range Compare(s.Golden(), got) {
					t.Errorf("%s", d)
				}
				for _, a := range Unused(own) {
					t.Errorf("the allowed difference of %s did not occur: %s", a.Prefix, a.Reason)
				}
			})
		}
	})
}

// ofScene returns the allowances of one scene, which belong to its test alone.
func ofScene(all []*Allowance, scene string) []*Allowance {
	var out []*Allowance
	for _, a := range all {
		if a.Scene == scene {
			out = append(out, a)
		}
	}
	return out
}

// brokerSettings reads the settings that both brokers get.
func brokerSettings(t *testing.T) []weirtest.Option {
	t.Helper()
	b, err := os.ReadFile("broker.settings")
	if err != nil {
		t.Fatal(err)
	}
	var out []weirtest.Option
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
			out = append(out, weirtest.Setting(name, value))
		}
	}
	return out
}

//go:build peer

package peer

import (
	"crypto/rand"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var (
	rewrite = flag.Bool("rewrite", false, "record the golden answers from the broker at $KAFKA_PEER")
	scene   = flag.String("scene", "", "run only the scenes whose names match this pattern")
)

// TestAnswersEqualKafkas runs every scene on the brokers at $WEIR_PEER and $KAFKA_PEER (at least one of them) and
// compares what they answer with what Apache Kafka answered when the scene was recorded. With $PEER_CLUSTER, what only a
// cluster answers otherwise is allowed too.
func TestAnswersEqualKafkas(t *testing.T) {
	scenes, err := Load("testdata")
	if err != nil {
		t.Fatal(err)
	}
	kafka, weir := os.Getenv("KAFKA_PEER"), os.Getenv("WEIR_PEER")
	if kafka == "" && weir == "" {
		t.Fatal("set WEIR_PEER or KAFKA_PEER to the address of a broker")
	}
	if kafka != "" {
		t.Run("kafka", func(t *testing.T) { check(t, kafka, scenes, nil, false) })
	}
	if weir != "" {
		allowed, err := LoadAllowances("testdata/differences.txt")
		if err != nil {
			t.Fatal(err)
		}
		if os.Getenv("PEER_CLUSTER") != "" {
			more, err := LoadAllowances("testdata/differences-cluster.txt")
			if err != nil {
				t.Fatal(err)
			}
			allowed = append(allowed, more...)
		}
		several := os.Getenv("PEER_CLUSTER") > "1"
		if several {
			more, err := LoadAllowances("testdata/differences-brokers.txt")
			if err != nil {
				t.Fatal(err)
			}
			allowed = append(allowed, more...)
			for _, a := range allowed {
				a.Kafka, a.Other = withoutEpoch(a.Kafka), withoutEpoch(a.Other)
			}
		}
		t.Run("weir", func(t *testing.T) {
			check(t, weir, scenes, allowed, several)
			if *scene == "" {
				for _, a := range Unused(allowed) {
					t.Errorf("the allowed difference of %s (%s) did not occur: %s", a.Scene, a.Prefix, a.Reason)
				}
			}
		})
	}
}

// kafkaTries is how often a scene is played to Kafka until its answers are the golden ones.
const kafkaTries = 3

// check runs the scenes on the broker at addr, each as a test of its own. It may be one of several.
func check(t *testing.T, addr string, scenes []*Scene, allowed []*Allowance, several bool) {
	exchanges := 0
	for _, s := range scenes {
		if match, _ := filepath.Match(*scene, s.Name); *scene != "" && !match {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			// Kafka's answers are what the golden ones came from. Where its clock and its threads have a say it may need another
			// try on a busy machine; Weir has one.
			tries := 1
			if allowed == nil && !*rewrite {
				tries = kafkaTries
			}
			for try := 1; ; try++ {
				var id [4]byte
				_, _ = rand.Read(id[:]) // never fails
				got, err := NewRunner(addr, hex.EncodeToString(id[:]), time.Now()).Run(t.Context(), s)
				if err != nil {
					t.Fatal(err)
				}
				exchanges += len(got)
				if *rewrite && allowed == nil {
					if err := os.WriteFile(filepath.Join("testdata", s.Name+".txt"), []byte(s.Format(got)), 0o644); err != nil {
						t.Fatal(err)
					}
					return
				}
				want := s.Golden()
				if several {
					want, got = withoutEpochs(want), withoutEpochs(asOfOneBroker(got))
				}
				Excuse(allowed, want, got)
				differences := Compare(want, got)
				if len(differences) > 0 && try < tries {
					t.Logf("try %d of %d: %s", try, tries, differences)
					continue
				}
				for _, d := range differences {
					t.Errorf("%s", d)
				}
				return
			}
		})
	}
	t.Logf("%d exchanges in %d scenes with the broker at %s", exchanges, len(scenes), addr)
}

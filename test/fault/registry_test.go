//go:build fault

package fault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// registered is a schema whose registration was acknowledged.
type registered struct {
	subject     string
	version, id int
	text        string
}

// postSchema registers a schema. An error says that the broker went away before it answered.
func postSchema(ctx context.Context, address, subject, text string) (registered, error) {
	body, err := json.Marshal(map[string]string{"schema": text})
	if err != nil {
		return registered{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/subjects/"+subject+"/versions", bytes.NewReader(body))
	if err != nil {
		return registered{}, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return registered{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return registered{}, err
	}
	if res.StatusCode != http.StatusOK {
		return registered{}, fmt.Errorf("%d %s", res.StatusCode, b)
	}
	var out struct{ ID, Version int }
	err = json.Unmarshal(b, &out)
	return registered{subject, out.Version, out.ID, text}, err
}

func getText(ctx context.Context, address, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return string(b), err
}

// TestRegistrationsSurviveKills kills the server in the middle of registrations, again and again. No id may stand for two schemas, ever,
// and what was acknowledged must be there, with the id and version that it was acknowledged with.
func TestRegistrationsSurviveKills(t *testing.T) {
	rng := random(t)
	data := filepath.Join(t.TempDir(), "data")
	var mu sync.Mutex
	var acked []registered
	byID := map[int]string{}
	note := func(r registered) {
		mu.Lock()
		defer mu.Unlock()
		acked = append(acked, r)
		if old, ok := byID[r.id]; ok && old != r.text {
			t.Errorf("id %d was given for %s and for %s", r.id, old, r.text)
		}
		byID[r.id] = r.text
	}
	size := 0
	for round := range int(number(t, "FAULT_ROUNDS", 6)) {
		b := start(t, data, "127.0.0.1:0")
		address := b.Addresses["registry"]
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		var wg sync.WaitGroup
		for w := range 4 {
			base, seed := size+w*100_000, rng.Uint64()
			wg.Go(func() {
				local := rand.New(rand.NewPCG(seed, 2))
				for k := range 10_000 {
					text := fmt.Sprintf(`{"type":"fixed","name":"F","size":%d}`, 1+base+k)
					r, err := postSchema(ctx, address, fmt.Sprintf("s%d-%d", w, local.IntN(50)+k*100), text)
					if err != nil {
						return
					}
					note(r)
				}
			})
		}
		if err := pause(ctx, time.Duration(200+rng.IntN(800))*time.Millisecond); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		b.Kill()
		wg.Wait()
		cancel()
		size += 1_000_000
		t.Logf("round %d: %d acknowledged", round, len(acked))
	}
	b := start(t, data, "127.0.0.1:0")
	if len(acked) == 0 {
		t.Fatal("nothing was acknowledged")
	}
	for _, r := range acked {
		for _, path := range []string{fmt.Sprintf("/schemas/ids/%d/schema", r.id), fmt.Sprintf("/subjects/%s/versions/%d/schema", r.subject, r.version)} {
			if got, err := getText(t.Context(), b.Addresses["registry"], path); err != nil || got != r.text {
				t.Fatalf("%s: got %s, %v, want %s", path, got, err, r.text)
			}
		}
	}
}

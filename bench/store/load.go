package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/minio/minio-go/v7/pkg/signer"
)

type loader struct {
	endpoint, bucket, checksum string
	bytes, parallel            int
	seconds                    float64
	client                     http.Client
	body                       []byte
	run64                      string // makes the keys of a run its own
}

func (l *loader) flags(f *flag.FlagSet) {
	f.StringVar(&l.endpoint, "endpoint", "", "URL of the server")
	f.StringVar(&l.bucket, "bucket", "weir", "bucket")
	f.StringVar(&l.checksum, "checksum", "crc32c", "crc32c or sha256")
	f.IntVar(&l.bytes, "bytes", 2<<20, "of an object")
	f.IntVar(&l.parallel, "parallel", 4, "requests at a time")
	f.Float64Var(&l.seconds, "seconds", 5, "how long is written, and how long is read")
}

// run writes, reads what it wrote in ranges of a MiB, as brokers do, and prints a line of JSON for either. What it wrote stays.
func (l *loader) run(ctx context.Context) error {
	l.client.Transport = &http.Transport{MaxIdleConnsPerHost: l.parallel, DisableCompression: true, WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10}
	l.body = make([]byte, l.bytes)
	_, _ = rand.Read(l.body) // never fails
	l.run64 = hex.EncodeToString(l.body[:8])
	written, err := l.phase(ctx, "put", func(ctx context.Context, worker, i int) (int, error) { return l.bytes, l.put(ctx, worker, i) })
	if err != nil {
		return err
	}
	const piece = 1 << 20
	pieces := max(1, l.bytes/piece)
	_, err = l.phase(ctx, "get", func(ctx context.Context, worker, i int) (int, error) {
		first := i % pieces * piece
		return l.get(ctx, worker, i/pieces%written[worker], first, min(first+piece, l.bytes))
	})
	return err
}

// phase has workers do one request after the other until the time is over, and returns how many each did.
func (l *loader) phase(ctx context.Context, name string, do func(ctx context.Context, worker, i int) (int, error)) ([]int, error) {
	done, moved, errs := make([]int, l.parallel), make([]int, l.parallel), make([]error, l.parallel)
	took := make([][]time.Duration, l.parallel)
	begin := time.Now()
	var workers sync.WaitGroup
	for w := range l.parallel {
		workers.Go(func() {
			for i := 0; i == 0 || time.Since(begin).Seconds() < l.seconds; i++ {
				at := time.Now()
				n, err := do(ctx, w, i)
				if err != nil {
					errs[w] = err
					return
				}
				done[w], moved[w] = done[w]+1, moved[w]+n
				took[w] = append(took[w], time.Since(at))
			}
		})
	}
	workers.Wait()
	elapsed := time.Since(begin).Seconds()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	all, bytes := slices.Concat(took...), 0
	for _, n := range moved {
		bytes += n
	}
	slices.Sort(all)
	millis := func(q float64) float64 { return float64(all[int(q*float64(len(all)-1))].Microseconds()) / 1000 }
	return done, json.NewEncoder(os.Stdout).Encode(map[string]any{
		"on": "s3-server", "workload": name, "bytes": l.bytes, "parallel": l.parallel, "checksum": l.checksum,
		"mb_per_s": float64(bytes) / elapsed / 1e6, "latency_ms": map[string]float64{"p50": millis(0.5), "p99": millis(0.99)},
	})
}

func (l *loader) put(ctx context.Context, worker, i int) error {
	req, err := l.request(ctx, http.MethodPut, worker, i, bytes.NewReader(l.body))
	if err != nil {
		return err
	}
	req.Header.Set("If-None-Match", "*")
	if l.checksum == "sha256" {
		sum := sha256.Sum256(l.body)
		req.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	} else {
		sum := binary.BigEndian.AppendUint32(nil, crc32.Checksum(l.body, crc32.MakeTable(crc32.Castagnoli)))
		req.Header.Set("X-Amz-Checksum-Crc32c", base64.StdEncoding.EncodeToString(sum))
	}
	_, err = l.send(req)
	return err
}

func (l *loader) get(ctx context.Context, worker, i, from, to int) (int, error) {
	req, err := l.request(ctx, http.MethodGet, worker, i, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, to-1))
	return l.send(req)
}

func (l *loader) request(ctx context.Context, method string, worker, i int, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("%s/%s/load/%s/%d-%d", l.endpoint, l.bucket, l.run64, worker, i), body)
	if err == nil {
		req.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	}
	return req, err
}

// send returns how many bytes the answer had.
func (l *loader) send(req *http.Request) (int, error) {
	res, err := l.client.Do(signer.SignV4(*req, os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"), "", "us-east-1"))
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(io.Discard, res.Body)
	if err = errors.Join(err, res.Body.Close()); err == nil && res.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: status %d", req.Method, req.URL.Path, res.StatusCode)
	}
	return int(n), err
}

// Command rest measures the REST proxy of a running server: how many records it takes, and how well it serves many readers.
//
//	rest produce -url http://127.0.0.1:8082 -topic t [-format json|binary] [-size 100] [-batch 1000] [-clients 4] [-seconds 10]
//	rest sse     -url http://127.0.0.1:8082 -topic t [-readers 1000] [-rate 100] [-seconds 10]
//
// The topic must be there. Produce sends v2 requests on keep-alive connections, each after the answer to the one before. Sse opens
// the readers at the end of the topic, produces records at a rate, and tells how many of all records × readers came and how long
// after they were sent.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

type options struct {
	url, topic, format   string
	size, batch, clients int
	readers, rate        int
	seconds              int
}

func main() {
	var o options
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: rest produce|sse [flags]")
		os.Exit(2)
	}
	f := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	f.StringVar(&o.url, "url", "http://127.0.0.1:8082", "base of the proxy")
	f.StringVar(&o.topic, "topic", "bench", "topic, which must be there")
	f.StringVar(&o.format, "format", "binary", "json or binary")
	f.IntVar(&o.size, "size", 100, "bytes of a value")
	f.IntVar(&o.batch, "batch", 1000, "records in a request")
	f.IntVar(&o.clients, "clients", 4, "connections that produce")
	f.IntVar(&o.readers, "readers", 1000, "readers of the stream")
	f.IntVar(&o.rate, "rate", 100, "records a second that the readers get")
	f.IntVar(&o.seconds, "seconds", 10, "how long")
	if err := f.Parse(os.Args[2:]); err != nil {
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	switch os.Args[1] {
	case "produce":
		err = produce(ctx, o)
	case "sse":
		err = sse(ctx, o)
	default:
		err = fmt.Errorf("%s is not produce or sse", os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "rest:", err)
		os.Exit(1)
	}
}

var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true}}

func post(ctx context.Context, o options, contentType string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.url+"/topics/"+o.topic, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", contentType)
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK || bytes.Contains(b, []byte(`"error_code":4`)) || bytes.Contains(b, []byte(`"error_code":5`)) {
		return fmt.Errorf("%d %.200s", res.StatusCode, b)
	}
	return nil
}

func produce(ctx context.Context, o options) error {
	value := strconv.Quote(strings.Repeat("x", max(o.size-2, 0)))
	if o.format == "binary" {
		value = strconv.Quote(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("x"), o.size)))
	}
	var b bytes.Buffer
	b.WriteString(`{"records":[`)
	for i := range o.batch {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`{"value":` + value + `}`)
	}
	b.WriteString(`]}`)
	ctx, cancel := context.WithTimeout(ctx, time.Duration(o.seconds)*time.Second)
	defer cancel()
	var records atomic.Int64
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	began := time.Now()
	var all sync.WaitGroup
	for range o.clients {
		all.Go(func() {
			for ctx.Err() == nil {
				at := time.Now()
				err := post(ctx, o, "application/vnd.kafka."+o.format+".v2+json", b.Bytes())
				mu.Lock()
				if err != nil && ctx.Err() == nil {
					failed = errors.Join(failed, err)
				}
				took = append(took, time.Since(at))
				mu.Unlock()
				if err != nil {
					return
				}
				records.Add(int64(o.batch))
			}
		})
	}
	all.Wait()
	elapsed := time.Since(began)
	slices.Sort(took)
	fmt.Printf("produce %s: %d records in %.1f s: %.0f records/s, %.1f MB/s of values; a request of %d takes p50 %v p99 %v\n", o.format, records.Load(), elapsed.Seconds(),
		float64(records.Load())/elapsed.Seconds(), float64(records.Load())*float64(o.size)/elapsed.Seconds()/1e6, o.batch, at(took, 0.5), at(took, 0.99))
	return failed
}

func at(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)].Round(10 * time.Microsecond)
}

// reader follows the topic and notes how old records are when they come.
func reader(ctx context.Context, o options, ready func(), note func(age time.Duration)) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.url+"/topics/"+o.topic+"/stream?value_format=json", nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("stream: %s", res.Status)
	}
	in := bufio.NewScanner(res.Body)
	first := true
	for in.Scan() {
		if first {
			ready()
			first = false
		}
		data, ok := strings.CutPrefix(in.Text(), "data: ")
		if !ok {
			continue
		}
		var r struct{ Value int64 }
		if err := json.Unmarshal([]byte(data), &r); err != nil {
			return err
		}
		note(time.Since(time.Unix(0, r.Value)))
	}
	return nil
}

func sse(ctx context.Context, o options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var came, ready atomic.Int64
	var mu sync.Mutex
	var ages []time.Duration
	var failed error
	var all sync.WaitGroup
	began := time.Now()
	for range o.readers {
		all.Go(func() {
			var own []time.Duration
			err := reader(ctx, o, func() { ready.Add(1) }, func(age time.Duration) {
				came.Add(1)
				own = append(own, age)
			})
			mu.Lock()
			defer mu.Unlock()
			if err != nil && ctx.Err() == nil {
				failed = errors.Join(failed, err)
			}
			ages = append(ages, own...)
		})
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for ready.Load() < int64(o.readers) && time.Since(began) < time.Minute {
		<-tick.C
	}
	fmt.Printf("%d readers are there after %.1f s\n", ready.Load(), time.Since(began).Seconds())
	pace := time.NewTicker(time.Second / time.Duration(o.rate))
	defer pace.Stop()
	sent, end := int64(0), time.Now().Add(time.Duration(o.seconds)*time.Second)
	for time.Now().Before(end) && ctx.Err() == nil {
		<-pace.C
		body := fmt.Appendf(nil, `{"records":[{"value":%d}]}`, time.Now().UnixNano())
		if err := post(ctx, o, "application/vnd.kafka.json.v2+json", body); err != nil {
			return err
		}
		sent++
	}
	want := sent * int64(o.readers)
	for stop := time.Now().Add(10 * time.Second); came.Load() < want && time.Now().Before(stop); {
		<-tick.C
	}
	cancel()
	all.Wait()
	slices.Sort(ages)
	fmt.Printf("sse: %d records to %d readers: %d of %d came, %.0f events/s; age p50 %v p99 %v max %v\n", sent, o.readers, came.Load(), want,
		float64(came.Load())/float64(o.seconds), at(ages, 0.5), at(ages, 0.99), at(ages, 1))
	if came.Load() != want {
		failed = errors.Join(failed, fmt.Errorf("%d events are missing", want-came.Load()))
	}
	return failed
}

package broker_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/api"
	"github.com/weir-stream/weir/internal/kafka/record"
	"github.com/weir-stream/weir/weirtest"
)

// TestServerSurvivesRandomRequests sends requests of every key and version that is served, well formed but filled with
// extremes and nonsense, and checks that the server still answers a sane one after each lot. A panic would end the test.
func TestServerSurvivesRandomRequests(t *testing.T) {
	t.Parallel()
	s := weirtest.Start(t, weirtest.Topic("t", 2), weirtest.Setting("group.min.session.timeout.ms", "0"))
	rows := api.Served()
	for seed := range uint64(40) {
		g := &generator{rand.New(rand.NewPCG(seed, 1))}
		for _, i := range g.Perm(len(rows)) {
			row := rows[i]
			req := kmsg.RequestForKey(row.Key)
			g.fill(reflect.ValueOf(req).Elem())
			req.SetVersion(row.Min + int16(g.IntN(int(row.Max-row.Min)+1)))
			ask(t, s, req)
		}
		p := dial(t, s)
		sane := kmsg.NewPtrMetadataRequest()
		sane.Version = 1
		p.send(p.frame(sane))
		res := kmsg.NewPtrMetadataResponse()
		res.Version = 1
		if _, err := p.receive(res); err != nil || len(res.Brokers) != 1 {
			t.Fatalf("after the requests of seed %d: %v, %+v", seed, err, res)
		}
		p.Close()
	}
}

// ask sends a request on a connection of its own and waits for what comes: an answer, the end of the connection, or nothing
// where a group or the log is being waited for, for which there is little time.
func ask(t *testing.T, s *weirtest.Server, req kmsg.Request) {
	t.Helper()
	p := dial(t, s)
	defer p.Close()
	p.send(p.frame(req))
	limit, mayWait := time.Minute, false
	switch req.(type) {
	case *kmsg.FetchRequest, *kmsg.JoinGroupRequest, *kmsg.SyncGroupRequest, *kmsg.ProduceRequest:
		limit, mayWait = 200*time.Millisecond, true
	}
	if err := p.SetReadDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if _, err := p.Read(make([]byte, 1)); errors.As(err, &timeout) && timeout.Timeout() && !mayWait {
		t.Errorf("no answer to %s version %d: %+v", kmsg.NameForKey(req.Key()), req.GetVersion(), req)
	}
}

// generator fills requests.
type generator struct{ *rand.Rand }

func pick[T any](g *generator, from ...T) T { return from[g.IntN(len(from))] }

func (g *generator) fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			switch {
			case name == "Version" || name == "UnknownTags":
			case strings.HasPrefix(name, "MaxWait"):
				v.Field(i).SetInt(int64(pick[int32](g, 0, -1, 1, 20)))
			default:
				g.fill(v.Field(i))
			}
		}
	case reflect.Pointer:
		if g.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			g.fill(v.Elem())
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes(g.bytes())
			return
		}
		n := g.IntN(4)
		if n == 3 {
			return // null, or empty
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			g.fill(v.Index(i))
		}
	case reflect.Array:
		if g.IntN(2) == 0 {
			for i := range v.Len() {
				v.Index(i).SetUint(uint64(g.IntN(256)))
			}
		}
	case reflect.Bool:
		v.SetBool(g.IntN(2) == 0)
	case reflect.String:
		v.SetString(pick(g, "t", "t", "t", "u", "", "__consumer_offsets", "g", "1", "a/b", "\x00\xff", strings.Repeat("x", 300), "retention.ms", "cleanup.policy"))
	case reflect.Int8:
		v.SetInt(int64(pick[int8](g, 0, 1, 2, 3, 4, 32, -1, math.MaxInt8, math.MinInt8)))
	case reflect.Int16:
		v.SetInt(int64(pick[int16](g, 0, 1, 2, -1, math.MaxInt16, math.MinInt16)))
	case reflect.Int32:
		v.SetInt(int64(pick[int32](g, 0, 0, 1, 1, 2, -1, -2, 100, math.MaxInt32, math.MinInt32)))
	case reflect.Int64:
		v.SetInt(pick[int64](g, 0, 0, 1, 2, -1, -2, -3, -6, math.MaxInt64, math.MinInt64))
	}
}

// bytes returns a batch, a spoilt one, or anything.
func (g *generator) bytes() []byte {
	b := record.NewBuilder(pick(g, record.None, record.Gzip, record.Zstd), 1)
	for range 1 + g.IntN(3) {
		b.Append(pick[int64](g, 0, 1, -1, math.MaxInt64, math.MinInt64, 1<<41), pick(g, nil, []byte("k")), []byte("v"), nil)
	}
	batch := b.Build(record.BuildOptions{})
	switch g.IntN(4) {
	case 0:
		batch = batch[:g.IntN(len(batch)+1)]
	case 1:
		batch[g.IntN(len(batch))] ^= byte(1 << g.IntN(8))
	}
	return batch
}

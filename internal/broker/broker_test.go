package broker_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/kafka/record"
	"github.com/weir-stream/weir/weirtest"
)

// peer is a connection to a server, over which frames are sent and read as they are.
type peer struct {
	net.Conn
	t    *testing.T
	next uint32 // correlation id of the next request
}

func dial(t *testing.T, s *weirtest.Server) *peer {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	// No test waits longer, whatever goes wrong.
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &peer{Conn: c, t: t}
}

// frame returns a request in a frame; requests get correlation ids from 0 up.
func (p *peer) frame(req kmsg.Request) []byte {
	f := kmsg.NewRequestFormatter(kmsg.FormatterClientID("peer"))
	b := f.AppendRequest(nil, req, int32(p.next))
	p.next++
	return b
}

func (p *peer) send(frames ...[]byte) {
	p.t.Helper()
	if _, err := p.Write(bytes.Join(frames, nil)); err != nil {
		p.t.Fatalf("send: %v", err)
	}
}

// receive reads one answer into res, which has the version of the request and a header without tags, and returns its
// correlation id.
func (p *peer) receive(res kmsg.Response) (correlation uint32, err error) {
	var head [8]byte
	if _, err := io.ReadFull(p, head[:]); err != nil {
		return 0, err
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:])-4)
	if _, err := io.ReadFull(p, body); err != nil {
		return 0, fmt.Errorf("in an answer: %w", err)
	}
	return binary.BigEndian.Uint32(head[4:]), res.ReadFrom(body)
}

// produce asks for one small batch to be written to partition 0 of "t". Version 8 is the last with plain headers.
func (p *peer) produce() []byte { return p.produceWith(-1) }

func (p *peer) produceWith(acks int16) []byte {
	b := record.NewBuilder(record.None, 0)
	b.Append(1, nil, []byte("value"), nil)
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 8, acks, 1000
	part := kmsg.NewProduceRequestTopicPartition()
	part.Records = b.Build(record.BuildOptions{})
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic, topic.Partitions = "t", append(topic.Partitions, part)
	req.Topics = append(req.Topics, topic)
	return p.frame(req)
}

// poll asks for records of "t" that are not there yet.
func (p *peer) poll(wait time.Duration) []byte {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MinBytes = 11, int32(wait.Milliseconds()), 1
	topic := kmsg.NewFetchRequestTopic()
	part := kmsg.NewFetchRequestTopicPartition()
	part.PartitionMaxBytes = 1 << 20
	topic.Topic, topic.Partitions = "t", append(topic.Partitions, part)
	req.Topics = append(req.Topics, topic)
	return p.frame(req)
}

// produced reads the answer to a produce: its correlation id and the offset.
func (p *peer) produced() (correlation uint32, offset int64, err error) {
	res := kmsg.NewPtrProduceResponse()
	res.Version = 8
	if correlation, err = p.receive(res); err != nil {
		return 0, 0, err
	}
	part := &res.Topics[0].Partitions[0]
	if part.ErrorCode != 0 {
		return 0, 0, fmt.Errorf("produce gave error %d", part.ErrorCode)
	}
	return correlation, part.BaseOffset, nil
}

// ended waits until the server closes the connection.
func (p *peer) ended() {
	p.t.Helper()
	var timeout net.Error
	if n, err := p.Read(make([]byte, 1)); n > 0 || err == nil {
		p.t.Fatal("an answer came")
	} else if errors.As(err, &timeout) && timeout.Timeout() {
		p.t.Fatal("the connection is still open")
	}
}

func TestProducesThatComeTogetherTakeEffectAndAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	p := dial(t, weirtest.Start(t, weirtest.Topic("t", 1)))
	const n = 300 // more than may wait at once
	var frames [][]byte
	for range n {
		frames = append(frames, p.produce())
	}
	go p.Write(bytes.Join(frames, nil)) //nolint:errcheck // the answers show
	for i := range int64(n) {
		correlation, offset, err := p.produced()
		if err != nil || int64(correlation) != i || offset != i {
			t.Fatalf("answer %d is to request %d with offset %d: %v", i, correlation, offset, err)
		}
	}
}

func TestRequestsAfterALongPollWaitForIt(t *testing.T) {
	t.Parallel()
	s := weirtest.Start(t, weirtest.Topic("t", 1))
	p, other := dial(t, s), dial(t, s)
	p.send(p.poll(10*time.Second), p.produce())
	other.send(other.produce())
	if _, _, err := other.produced(); err != nil {
		t.Fatal(err)
	}
	res := kmsg.NewPtrFetchResponse()
	res.Version = 11
	if correlation, err := p.receive(res); err != nil || correlation != 0 || len(res.Topics[0].Partitions[0].RecordBatches) == 0 {
		t.Fatalf("the poll gives %v, answer to %d", err, correlation)
	}
	if correlation, offset, err := p.produced(); err != nil || correlation != 1 || offset != 1 {
		t.Errorf("the produce after it: answer to %d, offset %d, %v", correlation, offset, err)
	}
}

func TestAConnectionThatWaitsForRecordsIsNotIdle(t *testing.T) {
	t.Parallel()
	p := dial(t, weirtest.Start(t, weirtest.Topic("t", 1), weirtest.Setting("connections.max.idle.ms", "400")))
	p.send(p.poll(1200 * time.Millisecond))
	res := kmsg.NewPtrFetchResponse()
	res.Version = 11
	if _, err := p.receive(res); err != nil {
		t.Fatalf("the poll gives %v", err)
	}
	p.ended()
}

// TestAClientThatLeavesEndsItsLongPoll looks at the server's count of connections, which falls long before the poll
// would have ended by itself.
func TestAClientThatLeavesEndsItsLongPoll(t *testing.T) {
	t.Parallel()
	s := weirtest.Start(t, weirtest.Topic("t", 1))
	var ps []*peer
	for range 5 {
		p := dial(t, s)
		p.send(p.poll(time.Hour))
		ps = append(ps, p)
	}
	connections(t, s, 5)
	for _, p := range ps {
		p.Close()
	}
	connections(t, s, 0)
}

// TestWhatAClientSentBeforeItLeftTakesEffect lets clients go at once after records they want no answer for, behind a poll
// that nobody waits for any more.
func TestWhatAClientSentBeforeItLeftTakesEffect(t *testing.T) {
	t.Parallel()
	s := weirtest.Start(t, weirtest.Topic("t", 1))
	const clients, each = 10, 4
	for range clients {
		p := dial(t, s)
		frames := [][]byte{p.poll(time.Hour)}
		for range each {
			frames = append(frames, p.produceWith(0))
		}
		p.send(frames...)
		p.Close()
	}
	p := dial(t, s)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for own := int64(0); ; own++ {
		p.send(p.produce())
		_, offset, err := p.produced()
		switch {
		case err != nil:
			t.Fatal(err)
		case offset == own+clients*each:
			return
		case own == 500:
			t.Fatalf("%d records of clients that left are there, want %d", offset-own, clients*each)
		}
		<-look.C
	}
}

// connections waits until the server counts n connections.
func connections(t *testing.T, s *weirtest.Server, n int) {
	t.Helper()
	want := fmt.Sprintf("\nkafka_server_socket_server_metrics_connection_count %d\n", n)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for range 1000 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.AdminURL()+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), want) {
			return
		}
		<-look.C
	}
	t.Fatalf("the server never counts %d connections", n)
}

func TestConnectionsBeyondTheLimitAreClosedUntilOneLeaves(t *testing.T) {
	t.Parallel()
	s := weirtest.Start(t, weirtest.Setting("max.connections", "2"))
	first, second := dial(t, s), dial(t, s)
	for _, p := range []*peer{first, second} {
		p.send(p.frame(kmsg.NewPtrApiVersionsRequest()))
		if _, err := p.receive(kmsg.NewPtrApiVersionsResponse()); err != nil {
			t.Fatal(err)
		}
	}
	dial(t, s).ended()
	first.Close()
	connections(t, s, 1)
	third := dial(t, s)
	third.send(third.frame(kmsg.NewPtrApiVersionsRequest()))
	if _, err := third.receive(kmsg.NewPtrApiVersionsResponse()); err != nil {
		t.Errorf("a client in the free place: %v", err)
	}
}

// TestStopAnswersWhatItTookAndTearsNoAnswer stops a server under a stream of produces and a long poll.
func TestStopAnswersWhatItTookAndTearsNoAnswer(t *testing.T) {
	t.Parallel()
	s := weirtest.Start(t, weirtest.Topic("t", 1))
	idle, poller, p := dial(t, s), dial(t, s), dial(t, s)
	poller.send(poller.poll(time.Hour))
	go func() {
		for {
			if _, err := p.Write(p.produce()); err != nil {
				return // the server closed the connection
			}
		}
	}()
	for range 100 {
		if _, _, err := p.produced(); err != nil {
			t.Fatal(err)
		}
	}
	// The client reads on while the server stops, as clients do: what nobody reads cannot all be delivered.
	var stopping sync.WaitGroup
	stopping.Go(func() {
		started := time.Now()
		s.Stop(t)
		if took := time.Since(started); took > 15*time.Second {
			t.Errorf("the stop took %v", took)
		}
	})
	defer stopping.Wait()
	for i := int64(100); ; i++ {
		correlation, offset, err := p.produced()
		if err == io.EOF { //nolint:errorlint // between answers, and no reset
			break
		}
		if err != nil {
			t.Fatalf("answer %d was cut: %v", i, err)
		}
		if int64(correlation) != i || offset != i {
			t.Fatalf("answer %d is to request %d with offset %d", i, correlation, offset)
		}
	}
	idle.ended()
}

package app_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/api"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/acl"
	"github.com/weir-stream/weir/internal/kafka/auditevent"
	"github.com/weir-stream/weir/internal/kafka/wire"
)

// right is an operation on a resource.
type right struct {
	op   acl.Operation
	kind acl.ResourceType
	name string
}

// refusal is one row of the table from which the matrix is made: a request, the right that it stands or falls with, and how
// its answer says that the right is missing. What Kafka answers is in test/peer/testdata/50-authorization.txt.
type refusal struct {
	request kmsg.Request
	needs   right
	also    []right // what it takes besides
	// code stands in the answer if, and only if, the right is missing. Where missing rights only hide something, code is
	// kafka.None and seen tells whether it is there.
	code kafka.Error
	seen func(kmsg.Response) bool
	loud bool // what is hidden counts as refused
	// before, if not nil, is asked first, by somebody who may.
	before kmsg.Request
}

// settled is what requests of the matrix are about.
type settled struct {
	tokenID string
	watched [16]byte // id of the watched topic
}

// column is a set of entries for the right of a row, and whether they give it.
type column struct {
	name    string
	entries func(r right) []acl.Binding
	who     acl.Principal
	allowed bool
	// cluster is false for columns that make no sense for the one cluster.
	cluster bool
}

var (
	alice = acl.Principal{Type: acl.UserType, Name: "alice"}
	root  = acl.Principal{Type: acl.UserType, Name: "root"}
)

func entry(r right, pattern acl.PatternType, name, principal, host string, op acl.Operation, p acl.Permission) acl.Binding {
	return acl.Binding{Type: r.kind, Pattern: pattern, Name: name, Principal: principal, Host: host, Operation: op, Permission: p}
}

func columns() []column {
	exact := func(r right) acl.Binding {
		return entry(r, acl.Literal, r.name, "User:alice", "*", r.op, acl.Allow)
	}
	one := func(f func(r right) acl.Binding) func(right) []acl.Binding {
		return func(r right) []acl.Binding { return []acl.Binding{f(r)} }
	}
	// wrong is an operation that does not imply the right one.
	wrong := func(r right) acl.Operation {
		if r.op == acl.Create {
			return acl.Describe
		}
		return acl.Create
	}
	return []column{
		{"no entry", func(right) []acl.Binding { return nil }, alice, false, true},
		{"exact", one(exact), alice, true, true},
		{"all operations", one(func(r right) acl.Binding { return entry(r, acl.Literal, r.name, "User:alice", "*", acl.All, acl.Allow) }), alice, true, true},
		{"prefix", one(func(r right) acl.Binding {
			return entry(r, acl.Prefixed, r.name[:2], "User:alice", "*", r.op, acl.Allow)
		}), alice, true, false},
		{"another prefix", one(func(r right) acl.Binding { return entry(r, acl.Prefixed, "zz", "User:alice", "*", r.op, acl.Allow) }), alice, false, false},
		{"wildcard", one(func(r right) acl.Binding { return entry(r, acl.Literal, "*", "User:alice", "*", r.op, acl.Allow) }), alice, true, false},
		{"everybody", one(func(r right) acl.Binding { return entry(r, acl.Literal, r.name, "User:*", "*", r.op, acl.Allow) }), alice, true, true},
		{"this host", one(func(r right) acl.Binding {
			return entry(r, acl.Literal, r.name, "User:alice", "10.0.0.1", r.op, acl.Allow)
		}), alice, true, true},
		{"another host", one(func(r right) acl.Binding {
			return entry(r, acl.Literal, r.name, "User:alice", "10.0.0.2", r.op, acl.Allow)
		}), alice, false, true},
		{"wrong operation", one(func(r right) acl.Binding {
			return entry(r, acl.Literal, r.name, "User:alice", "*", wrong(r), acl.Allow)
		}), alice, false, true},
		{"another user", one(func(r right) acl.Binding { return entry(r, acl.Literal, r.name, "User:bob", "*", r.op, acl.Allow) }), alice, false, true},
		{"anonymous", one(exact), acl.Anonymous, false, true},
		{"super user", func(right) []acl.Binding { return nil }, root, true, true},
		{"super user denied", one(func(r right) acl.Binding { return entry(r, acl.Literal, r.name, "User:*", "*", acl.All, acl.Deny) }), root, true, true},
		{"deny over allow", func(r right) []acl.Binding {
			return []acl.Binding{exact(r), entry(r, acl.Literal, r.name, "User:alice", "*", r.op, acl.Deny)}
		}, alice, false, true},
		{"deny everybody over allow", func(r right) []acl.Binding {
			return []acl.Binding{exact(r), entry(r, acl.Literal, r.name, "User:*", "*", acl.All, acl.Deny)}
		}, alice, false, true},
		{"deny prefix over allow", func(r right) []acl.Binding {
			return []acl.Binding{exact(r), entry(r, acl.Prefixed, r.name[:2], "User:alice", "*", r.op, acl.Deny)}
		}, alice, false, false},
		{"deny another host", func(r right) []acl.Binding {
			return []acl.Binding{exact(r), entry(r, acl.Literal, r.name, "User:alice", "10.0.0.2", r.op, acl.Deny)}
		}, alice, true, true},
	}
}

// matrix drives a server's handlers without a network.
type matrix struct {
	t       *testing.T
	server  *server
	api     *api.Server
	asked   int32
	expects map[int32]expected // by correlation id
}

type expected struct {
	what    string
	allowed bool
	none    bool // there may be no event, as nothing was asked but what hides something
}

// ask sends one request as a principal and returns the answer.
func (m *matrix) ask(who acl.Principal, req kmsg.Request) kmsg.Response {
	m.t.Helper()
	m.asked++
	ctx := m.t.Context() // of the connection, too: share sessions end with it
	h := wire.RequestHeader{Key: req.Key(), Version: req.GetVersion(), CorrelationID: m.asked, ClientID: "matrix", HasClientID: true}
	conn := &api.Conn{Peer: "10.0.0.1", Listener: "test", Host: "localhost", Port: 9092, Principal: who, TLS: true}
	reply, err := m.api.Handle(ctx, conn, h, req.AppendTo(nil))
	if err != nil {
		m.t.Fatalf("%s: %v", kmsg.NameForKey(req.Key()), err)
	}
	answer, silent, err := reply(ctx)
	if err != nil || silent {
		m.t.Fatalf("%s: no answer: %v", kmsg.NameForKey(req.Key()), err)
	}
	var b bytes.Buffer
	if _, err := answer.WriteTo(&b); err != nil {
		m.t.Fatal(err)
	}
	body := b.Bytes()[8:]
	res := req.ResponseKind()
	if res.IsFlexible() {
		body = body[1:] // no tags in the header
	}
	if err := res.ReadFrom(body); err != nil {
		m.t.Fatalf("%s: read the answer: %v", kmsg.NameForKey(req.Key()), err)
	}
	return res
}

// only makes the entries the only ones.
func (m *matrix) only(entries []acl.Binding) {
	m.t.Helper()
	del := kmsg.NewPtrDeleteACLsRequest()
	del.Version = 3
	f := kmsg.NewDeleteACLsRequestFilter()
	f.ResourceType, f.ResourcePatternType, f.Operation, f.PermissionType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny, kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	del.Filters = append(del.Filters, f)
	m.ask(root, del)
	create := kmsg.NewPtrCreateACLsRequest()
	create.Version = 3
	for _, b := range entries {
		c := kmsg.NewCreateACLsRequestCreation()
		c.ResourceType, c.ResourceName, c.ResourcePatternType = kmsg.ACLResourceType(b.Type), b.Name, kmsg.ACLResourcePatternType(b.Pattern)
		c.Principal, c.Host, c.Operation, c.PermissionType = b.Principal, b.Host, kmsg.ACLOperation(b.Operation), kmsg.ACLPermissionType(b.Permission)
		create.Creations = append(create.Creations, c)
	}
	for _, r := range m.ask(root, create).(*kmsg.CreateACLsResponse).Results {
		if r.ErrorCode != 0 {
			m.t.Fatalf("create entries %v: %s", entries, kafka.Error(r.ErrorCode).Name())
		}
	}
}

// prepare makes the topic that requests are about anew, if a request before it was allowed to delete it, and a group.
func (m *matrix) prepare() {
	m.t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version = 7
	for _, name := range []string{topicName, watchedTopic} {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = name, 1, 1
		req.Topics = append(req.Topics, t)
	}
	m.ask(root, req)
	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.Version = 9
	commit.Group, commit.Generation = groupName, -1
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic = topicName
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	topic.Partitions = append(topic.Partitions, p)
	commit.Topics = append(commit.Topics, topic)
	m.until("commit an offset", func() int16 {
		code := m.ask(root, commit).(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode
		if code == kafka.UnknownMemberID.Code() {
			return 0 // a request of the matrix joined the group; what was committed before is there
		}
		return code
	})
}

// codes returns all error codes in an answer.
func codes(v reflect.Value) (out []kafka.Error) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return codes(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			out = append(out, codes(v.Index(i))...)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Field(i)
			if strings.HasSuffix(v.Type().Field(i).Name, "ErrorCode") && f.Kind() == reflect.Int16 {
				out = append(out, kafka.Error(f.Int()))
			} else if v.Type().Field(i).IsExported() {
				out = append(out, codes(f)...)
			}
		}
	}
	return out
}

// TestAuthorizationMatrix asks every API with every set of entries and checks the answer, and that the audit log has one
// event of each request, with the decision. Every API that declares what its callers need must
// have rows for it.
func TestAuthorizationMatrix(t *testing.T) {
	t.Parallel()
	srv := mustStart(t, t.TempDir(), "authorizer.class.name=weir", "super.users=User:root", "audit.enable=true", "audit.queue.events=1000000",
		"audit.categories=management,authentication,denied,describe,produce,consume", "transaction.state.log.num.partitions=2", "delegation.token.secret.key=secret",
		// Members of its groups say that they live once, and must be there to the end, however slow the machine is.
		"group.share.max.session.timeout.ms=3600000", "group.share.session.timeout.ms=3600000", "group.streams.max.session.timeout.ms=3600000", "group.streams.session.timeout.ms=3600000")
	m := &matrix{t: t, server: srv, api: srv.API(), expects: map[int32]expected{}}
	for _, row := range refusals(m.settle()) {
		for _, col := range columns() {
			if row.needs.kind == acl.Cluster && !col.cluster || row.needs.name == anyTopic && col.name == "another prefix" ||
				row.code == kafka.DelegationTokenAuthorizationFailed && col.who == acl.Anonymous { // nobody anonymous has tokens

				continue
			}
			m.prepare()
			m.check(row, col)
		}
	}
	m.checkAudit()
}

// until asks again while coordinators load.
func (m *matrix) until(what string, ask func() int16) {
	m.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		code := kafka.Error(ask())
		if code == kafka.None {
			return
		}
		if time.Now().After(deadline) || !slices.Contains([]kafka.Error{kafka.CoordinatorLoadInProgress, kafka.CoordinatorNotAvailable, kafka.NotCoordinator, kafka.ConcurrentTransactions}, code) {
			m.t.Fatalf("%s: %s", what, code.Name())
		}
	}
}

// settle waits until coordinators answer, opens a transaction, has groups of each kind joined and makes a token.
func (m *matrix) settle() settled {
	m.t.Helper()
	for kind := range int8(2) {
		m.until("find a coordinator", func() int16 {
			find := kmsg.NewPtrFindCoordinatorRequest()
			find.Version, find.CoordinatorType, find.CoordinatorKeys = 4, kind, []string{"x"}
			return m.ask(root, find).(*kmsg.FindCoordinatorResponse).Coordinators[0].ErrorCode
		})
	}
	m.prepare()
	start := kmsg.NewPtrInitProducerIDRequest()
	start.Version, start.TransactionalID, start.TransactionTimeoutMillis = 4, new(heldName), 60_000
	m.until("open a transaction", func() int16 {
		producer := m.ask(root, start).(*kmsg.InitProducerIDResponse)
		if producer.ErrorCode != 0 {
			return producer.ErrorCode
		}
		adding := kmsg.NewPtrAddPartitionsToTxnRequest()
		adding.Version, adding.TransactionalID, adding.ProducerID, adding.ProducerEpoch = 3, heldName, producer.ProducerID, producer.ProducerEpoch
		topic := kmsg.NewAddPartitionsToTxnRequestTopic()
		topic.Topic, topic.Partitions = topicName, []int32{0}
		adding.Topics = append(adding.Topics, topic)
		return m.ask(root, adding).(*kmsg.AddPartitionsToTxnResponse).Topics[0].Partitions[0].ErrorCode
	})
	m.until("join a group", func() int16 {
		return m.ask(root, consumerHeartbeat(watchersName)).(*kmsg.ConsumerGroupHeartbeatResponse).ErrorCode
	})
	create := kmsg.NewPtrCreateDelegationTokenRequest()
	create.Version = 2
	token := m.ask(root, create).(*kmsg.CreateDelegationTokenResponse)
	if token.ErrorCode != 0 {
		m.t.Fatalf("make a token: %s", kafka.Error(token.ErrorCode).Name())
	}
	return settled{token.TokenID, m.fillGroups()}
}

// fillGroups has members join the share and streams groups, and returns the id of the topic that they read.
func (m *matrix) fillGroups() [16]byte {
	m.t.Helper()
	m.until("join a streams group", func() int16 {
		return m.ask(root, streamsHeartbeat(flowName)).(*kmsg.StreamsGroupHeartbeatResponse).ErrorCode
	})
	m.until("be assigned in a share group", func() int16 {
		joined := m.ask(root, shareHeartbeat(sharersName)).(*kmsg.ShareGroupHeartbeatResponse)
		if joined.ErrorCode == 0 && (joined.Assignment == nil || len(joined.Assignment.TopicPartitions) == 0) {
			return kafka.CoordinatorLoadInProgress.Code() // the state is still being made
		}
		return joined.ErrorCode
	})
	ask := kmsg.NewPtrMetadataRequest()
	ask.Version = 12
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = new(watchedTopic)
	ask.Topics = append(ask.Topics, topic)
	return m.ask(root, ask).(*kmsg.MetadataResponse).Topics[0].TopicID
}

func (m *matrix) check(row refusal, col column) {
	m.t.Helper()
	entries := col.entries(row.needs)
	for _, r := range row.also {
		entries = append(entries, entry(r, acl.Literal, r.name, "User:*", "*", r.op, acl.Allow))
	}
	m.only(entries)
	name := kmsg.NameForKey(row.request.Key())
	what := fmt.Sprintf("%s needs %s on %s, %s", name, row.needs.op, row.needs.kind, col.name)
	if row.before != nil {
		m.ask(root, row.before)
	}
	res := m.ask(col.who, row.request)
	quiet := row.seen != nil && !row.loud
	m.expects[m.asked] = expected{what, col.allowed || quiet, quiet}
	got := codes(reflect.ValueOf(res))
	if row.seen != nil {
		if seen := row.seen(res); seen != col.allowed {
			m.t.Errorf("%s: seen is %v, want %v", what, seen, col.allowed)
		}
		return
	}
	if denied := slices.Contains(got, row.code); denied == col.allowed {
		m.t.Errorf("%s: got the codes %v, allowed should be %v", what, got, col.allowed)
	}
	for _, code := range got {
		if col.allowed && (code == kafka.TopicAuthorizationFailed || code == kafka.GroupAuthorizationFailed || code == kafka.ClusterAuthorizationFailed || code == kafka.TransactionalIDAuthorizationFailed) {
			m.t.Errorf("%s: got %s though everything is allowed", what, code.Name())
		}
	}
}

// checkAudit stops the server and reads its audit log.
func (m *matrix) checkAudit() {
	m.t.Helper()
	events := map[int32][]auditevent.Event{}
	asked := map[string]map[string]bool{} // needs by API
	for _, e := range m.events() {
		events[e.Data.Request.CorrelationID] = append(events[e.Data.Request.CorrelationID], e)
		name := strings.TrimPrefix(e.Data.MethodName, "kafka.")
		if asked[name] == nil {
			asked[name] = map[string]bool{}
		}
		for _, d := range append(e.Data.Decisions, *e.Data.Authorization) {
			asked[name][d.Operation+" "+d.ResourceType] = true
		}
	}
	for id, want := range m.expects {
		got := events[id]
		if len(got) > 1 || len(got) == 0 && !want.none {
			m.t.Errorf("%s: %d audit events", want.what, len(got))
		}
		if len(got) == 1 && got[0].Data.Authorization.Granted != want.allowed {
			b, _ := json.Marshal(got[0])
			m.t.Errorf("%s: the audit log says %s", want.what, b)
		}
	}
	for _, r := range api.Served() {
		for _, n := range r.Needs {
			if n != (api.Need{}) && !asked[r.Name][n.Operation.String()+" "+n.Resource.String()] {
				m.t.Errorf("no row of the matrix makes %s ask for %s on %s, which it declares: add one to refusals", r.Name, n.Operation, n.Resource)
			}
		}
		for op := range asked[r.Name] {
			if !slices.ContainsFunc(r.Needs, func(n api.Need) bool { return n.Operation.String()+" "+n.Resource.String() == op }) {
				m.t.Errorf("%s asks for %s, which it does not declare", r.Name, op)
			}
		}
	}
}

// events reads the audit log until it holds an event of the last request, and verifies it.
func (m *matrix) events() []auditevent.Event {
	m.t.Helper()
	last := m.asked + 1
	list := kmsg.NewPtrListConfigResourcesRequest()
	list.Version = 1
	m.ask(root, list) // its event is behind all others
	var v auditevent.Verifier
	var out []auditevent.Event
	for deadline := time.Now().Add(time.Minute); ; {
		fetch := kmsg.NewPtrFetchRequest()
		fetch.Version, fetch.MaxWaitMillis, fetch.MaxBytes = 12, 0, 50<<20
		topic := kmsg.NewFetchRequestTopic()
		topic.Topic = auditevent.Topic
		p := kmsg.NewFetchRequestTopicPartition()
		p.FetchOffset, p.PartitionMaxBytes = int64(len(out)), 50<<20
		topic.Partitions = append(topic.Partitions, p)
		fetch.Topics = append(fetch.Topics, topic)
		res := m.ask(root, fetch).(*kmsg.FetchResponse)
		for _, value := range recordValues(m.t, res.Topics[0].Partitions[0].RecordBatches) {
			e, err := v.Check(value)
			if err != nil {
				m.t.Fatal(err)
			}
			if out = append(out, e); e.Data.Request != nil && e.Data.Request.CorrelationID == last {
				return out
			}
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("the audit log ends after %d events", len(out))
		}
	}
}

// recordValues returns the values of all records in batches.
func recordValues(t *testing.T, b []byte) (out [][]byte) {
	t.Helper()
	for len(b) > 12 {
		n := 12 + int(binary.BigEndian.Uint32(b[8:]))
		var batch kmsg.RecordBatch
		if n > len(b) {
			return out
		}
		if err := batch.ReadFrom(b[:n]); err != nil {
			t.Fatal(err)
		}
		rest := batch.Records
		for range batch.NumRecords {
			var r kmsg.Record
			length, width := binary.Varint(rest)
			if err := r.ReadFrom(rest[:width+int(length)]); err != nil {
				t.Fatal(err)
			}
			out, rest = append(out, r.Value), rest[width+int(length):]
		}
		b = b[n:]
	}
	return out
}

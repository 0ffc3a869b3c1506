package app_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/app"
	"github.com/weir-stream/weir/internal/kafka/acl"
	"github.com/weir-stream/weir/internal/kafka/auditevent"
)

// webServer is a server whose HTTP services speak TLS and know callers by password, token and certificate.
type webServer struct {
	*authority
	app   *app.App
	admin *kgo.Client // a super user's
}

func secureWeb(t *testing.T, set ...string) *webServer {
	t.Helper()
	a := newAuthority(t)
	s := &webServer{authority: a, app: secured(t, a, nil, append([]string{
		"bootstrap.users.file=" + a.file("web-users", []byte("admin:admin-secret\nbob:bob-secret\n")), "authorizer.class.name=weir", "super.users=User:admin",
		"http.authentication=required", "registry.listen=https://127.0.0.1:0", "rest.listen=https://127.0.0.1:0",
		"listener.name.registry.ssl.client.auth=requested", "listener.name.rest.ssl.client.auth=requested",
	}, set...)...)}
	login := login("SCRAM-SHA-256", "admin", "admin-secret")
	login["security.protocol"] = "SASL_PLAINTEXT"
	s.admin = connect(t, s.app.Addresses()["kafka.sasl_plaintext"], login)
	return s
}

// browser is a client that trusts the authority, and shows a certificate if it has the name of a file with one.
func (s *webServer) browser(t *testing.T, certificate string) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(s.cert)
	config := &tls.Config{RootCAs: roots}
	if certificate != "" {
		pair, err := tls.LoadX509KeyPair(certificate, certificate)
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	transport := &http.Transport{TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// webCaller is somebody who calls: how he shows who he is, and who Kafka takes him for.
type webCaller struct {
	principal     string
	authorization func(*http.Request)
	certificate   string // file
}

func basic(user, password string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(user, password) }
}

func bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

// webError is where answers have their codes: v2 has one for each record.
type webError struct {
	Code    int        `json:"error_code"`
	Offsets []webError `json:"offsets"`
}

// send makes one request; err is one of the handshake.
func (s *webServer) send(t *testing.T, c webCaller, service, method, path, contentType, body string) (status, code int, text string, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "https://"+s.app.Addresses()[service]+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if c.authorization != nil {
		c.authorization(req)
	}
	res, err := s.browser(t, c.certificate).Do(req)
	if err != nil {
		return 0, 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var e webError
	if res.StatusCode >= 400 {
		if err := json.Unmarshal(b, &e); err != nil || e.Code == 0 && len(e.Offsets) == 0 {
			t.Errorf("%s %s: %d without a code: %s", method, path, res.StatusCode, b)
		}
		if len(e.Offsets) > 0 {
			e.Code = e.Offsets[0].Code
		}
	}
	return res.StatusCode, e.Code, string(b), nil
}

// grant lets a principal do something to what begins with a name.
func (s *webServer) grant(t *testing.T, principal string, kind acl.ResourceType, name string, op acl.Operation) {
	t.Helper()
	req := kmsg.NewPtrCreateACLsRequest()
	c := kmsg.NewCreateACLsRequestCreation()
	c.ResourceType, c.ResourceName, c.ResourcePatternType = kmsg.ACLResourceType(kind), name, kmsg.ACLResourcePatternTypePrefixed
	c.Principal, c.Host, c.Operation, c.PermissionType = principal, "*", kmsg.ACLOperation(op), kmsg.ACLPermissionTypeAllow
	req.Creations = append(req.Creations, c)
	res, err := req.RequestWith(t.Context(), s.admin)
	if err != nil || len(res.Results) != 1 || res.Results[0].ErrorCode != 0 {
		t.Fatalf("grant: %+v, %v", res, err)
	}
}

const (
	registryType = "application/vnd.schemaregistry.v1+json"
	recordsType  = "application/vnd.kafka.json.v2+json"
	oneSchema    = `{"schema":"\"int\""}`
	oneRecord    = `{"records":[{"value":{"n":1}}]}`
)

// TestCallersOfServicesAreThePrincipalsOfKafka asks the registry and the proxy as each kind of caller, before and after he may.
func TestCallersOfServicesAreThePrincipalsOfKafka(t *testing.T) {
	t.Parallel()
	s := secureWeb(t)
	if _, err := kadm.NewClient(s.admin).CreateTopic(t.Context(), 1, 1, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	callers := map[string]webCaller{
		"password":    {principal: "User:bob", authorization: basic("bob", "bob-secret")},
		"token":       {principal: "User:carol", authorization: bearer(s.token("carol", time.Now().Add(time.Hour)))},
		"certificate": {principal: "User:ops-joe", certificate: s.store("joe.pem", pkix.Name{CommonName: "Joe", OrganizationalUnit: []string{"Ops"}})},
		// What a caller shows goes before what his connection shows.
		"token over certificate": {principal: "User:dora", authorization: bearer(s.token("dora", time.Now().Add(time.Hour))), certificate: s.store("ann.pem", pkix.Name{CommonName: "Ann"})},
	}
	for how, c := range callers {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			subject := "s-" + strings.TrimPrefix(c.principal, "User:")
			expect := func(service, path, contentType, body string, status, code int) {
				t.Helper()
				gotStatus, gotCode, text, err := s.send(t, c, service, "POST", path, contentType, body)
				if err != nil || gotStatus != status || gotCode != code {
					t.Errorf("%s %s: got %d (%d) %s, %v, want %d (%d)", service, path, gotStatus, gotCode, text, err, status, code)
				}
			}
			expect("registry", "/subjects/"+subject+"/versions", registryType, oneSchema, 403, 40301)
			expect("rest", "/topics/orders", recordsType, oneRecord, 403, 40301)
			s.grant(t, c.principal, acl.Subject, subject, acl.Write)
			s.grant(t, c.principal, acl.Topic, "ord", acl.Write)
			expect("registry", "/subjects/"+subject+"/versions", registryType, oneSchema, 200, 0)
			expect("registry", "/subjects/other/versions", registryType, oneSchema, 403, 40301)
			expect("rest", "/topics/orders", recordsType, oneRecord, 200, 0)
			expect("rest", "/topics/payments", recordsType, oneRecord, 403, 40301)
			// To write is not to read: by id or by name, and lists leave out what is not his.
			if status, code, _, _ := s.send(t, c, "registry", "GET", "/schemas/ids/1", "", ""); status != 403 || code != 40301 {
				t.Errorf("a schema that he may not read: %d (%d)", status, code)
			}
			s.grant(t, c.principal, acl.Subject, subject, acl.Read)
			if status, _, text, _ := s.send(t, c, "registry", "GET", "/subjects", "", ""); status != 200 || text != `["`+subject+`"]` {
				t.Errorf("subjects that he sees: %d %s", status, text)
			}
		})
	}
}

func TestWrongCredentialsAreRefusedByServices(t *testing.T) {
	t.Parallel()
	s := secureWeb(t)
	stranger := newAuthority(t)
	foreign := stranger.token("carol", time.Now().Add(time.Hour))
	for what, c := range map[string]webCaller{
		"nothing":              {},
		"a wrong password":     {authorization: basic("bob", "wrong")},
		"nobody":               {authorization: basic("nobody", "bob-secret")},
		"an expired token":     {authorization: bearer(s.token("carol", time.Now().Add(-time.Hour)))},
		"another's token":      {authorization: bearer(foreign)},
		"no token":             {authorization: bearer("abc")},
		"an unknown scheme":    {authorization: func(r *http.Request) { r.Header.Set("Authorization", "Digest x") }},
		"half a header":        {authorization: func(r *http.Request) { r.Header.Set("Authorization", "Basic") }},
		"wrong though trusted": {authorization: basic("bob", "wrong"), certificate: s.store("joe.pem", pkix.Name{CommonName: "Joe"})},
	} {
		for service, path := range map[string]string{"registry": "/subjects", "rest": "/topics"} {
			if status, code, text, err := s.send(t, c, service, "GET", path, "", ""); err != nil || status != 401 || code != 40101 {
				t.Errorf("%s, %s: got %d (%d) %s, %v, want 401 (40101)", service, what, status, code, text, err)
			}
		}
	}
	for service, path := range map[string]string{"registry": "/subjects", "rest": "/topics"} {
		if _, _, text, err := s.send(t, webCaller{certificate: stranger.store("x.pem", pkix.Name{CommonName: "admin"})}, service, "GET", path, "", ""); err == nil {
			t.Errorf("%s: a certificate of another authority got in: %s", service, text)
		}
		res, err := http.Get("http://" + s.app.Addresses()[service] + path) // plain text at a port that speaks TLS
		if err == nil {
			res.Body.Close()
		}
		if err == nil && res.StatusCode != 400 {
			t.Errorf("%s: without TLS: %d", service, res.StatusCode)
		}
	}
}

// TestServicesTakeNewCertificates changes the certificates of the services by the API of Kafka; new connections see them.
func TestServicesTakeNewCertificates(t *testing.T) {
	t.Parallel()
	s := secureWeb(t)
	adm := kadm.NewClient(s.admin)
	for _, service := range []string{"registry", "rest"} {
		serial := func() string {
			t.Helper()
			roots := x509.NewCertPool()
			roots.AddCert(s.cert)
			c, err := (&tls.Dialer{Config: &tls.Config{RootCAs: roots}}).DialContext(t.Context(), "tcp", s.app.Addresses()[service])
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			return c.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String()
		}
		alter := func(file string) error {
			t.Helper()
			got, err := adm.AlterBrokerConfigs(t.Context(), []kadm.AlterConfig{{Name: "listener.name." + service + ".ssl.keystore.location", Value: &file}}, 1)
			if err != nil {
				t.Fatal(err)
			}
			return got[0].Err
		}
		before := serial()
		if err := alter(s.store(service+"-next.pem", pkix.Name{CommonName: "broker"})); err != nil {
			t.Fatal(err)
		}
		after := serial()
		if after == before {
			t.Errorf("%s still shows the old certificate", service)
		}
		if alter(s.store(service+"-other.pem", pkix.Name{CommonName: "somebody else"})) == nil || serial() != after {
			t.Errorf("%s took a certificate for another name", service)
		}
	}
}

// told says what an event is about, in one line.
func told(e *auditevent.Event) string {
	d := &e.Data
	if d.Authorization == nil {
		return fmt.Sprintf("%s %s %s %s %v", d.MethodName, d.Client.Listener, d.Authentication.Mechanism, d.Authentication.Principal, d.Authentication.Granted != nil && *d.Authentication.Granted)
	}
	line := fmt.Sprintf("%s %s %s %v %s %s", d.MethodName, d.Client.Listener, d.Authentication.Principal, d.Authorization.Granted, d.Authorization.Operation, d.ResourceName)
	if d.Result != nil {
		line += " " + d.Result.Status + " " + strings.Join(d.Result.Errors, ",")
	}
	return strings.TrimSpace(line)
}

func TestWhatServicesRefuseAndGrantIsAudited(t *testing.T) {
	t.Parallel()
	s := secureWeb(t, "audit.enable=true")
	bob := webCaller{principal: "User:bob", authorization: basic("bob", "bob-secret")}
	s.grant(t, bob.principal, acl.Subject, "mine", acl.Write)
	s.grant(t, bob.principal, acl.Subject, "mine", acl.Read)
	ask := func(c webCaller, service, method, path, contentType, body string, want int) {
		t.Helper()
		if status, _, text, err := s.send(t, c, service, method, path, contentType, body); err != nil || status != want {
			t.Errorf("%s %s: got %d %s, %v, want %d", method, path, status, text, err, want)
		}
	}
	ask(webCaller{authorization: basic("bob", "wrong")}, "registry", "GET", "/subjects", "", "", 401)
	ask(webCaller{authorization: bearer("no token")}, "rest", "GET", "/topics", "", "", 401)
	ask(bob, "registry", "POST", "/subjects/theirs/versions", registryType, oneSchema, 403)
	ask(bob, "registry", "POST", "/contexts/.c/subjects/theirs/versions", registryType, oneSchema, 403)
	ask(bob, "registry", "POST", "/subjects/mine/versions", registryType, oneSchema, 200)
	ask(bob, "registry", "POST", "/subjects/mine/versions", registryType, `{"schema":"\"string\""}`, 409)
	ask(bob, "registry", "PUT", "/config/theirs", registryType, `{"compatibility":"NONE"}`, 403)
	ask(bob, "registry", "GET", "/subjects", "", "", 200) // leaves out, and refuses nothing
	ask(bob, "registry", "DELETE", "/subjects/mine", "", "", 403)
	ask(bob, "rest", "POST", "/topics/orders", recordsType, oneRecord, 403)
	ask(webCaller{authorization: basic("admin", "admin-secret")}, "rest", "POST", "/v3/clusters/"+clusterOf(t, s)+"/topics", "application/json", `{"topic_name":"t","partitions_count":1}`, 201)
	want := []string{
		"kafka.Authentication registry PLAIN User:bob false",
		"kafka.Authentication rest OAUTHBEARER  false",
		"kafka.Authentication registry PLAIN User:bob true",
		"registry.registerSchema registry User:bob false WRITE SUBJECT:theirs FAILURE 40301",
		"registry.registerSchemaInContext registry User:bob false WRITE SUBJECT::.c:theirs FAILURE 40301",
		"registry.registerSchema registry User:bob true WRITE SUBJECT:mine SUCCESS",
		"registry.registerSchema registry User:bob true WRITE SUBJECT:mine FAILURE 40901",
		"registry.updateConfigOfSubject registry User:bob false ALTER_CONFIGS SUBJECT:theirs FAILURE 40301",
		"registry.deleteSubject registry User:bob false DELETE SUBJECT:mine FAILURE 40301",
		"kafka.Authentication rest PLAIN User:bob true",
		"kafka.Metadata WEIR User:bob false DESCRIBE TOPIC:orders",
		"kafka.Authentication rest PLAIN User:admin true",
		"kafka.CreateTopics WEIR User:admin true CREATE CLUSTER:kafka-cluster SUCCESS",
	}
	seen := map[string]int{}
	login := login("SCRAM-SHA-256", "admin", "admin-secret")
	login["security.protocol"] = "SASL_PLAINTEXT"
	reader := connect(t, s.app.Addresses()["kafka.sasl_plaintext"], login, kgo.ConsumeTopics(auditevent.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	var v auditevent.Verifier
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for slices.ContainsFunc(want, func(line string) bool { return seen[line] == 0 }) {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatalf("%v; seen %v", err, seen)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			e, err := v.Check(r.Value)
			if err != nil {
				t.Errorf("offset %d: %v", r.Offset, err)
			}
			line := told(&e)
			seen[line]++
			t.Log(line)
			if strings.Contains(string(r.Value), "secret") {
				t.Errorf("an event tells a secret: %s", r.Value)
			}
			if e.Data.Client.Address != "127.0.0.1" {
				t.Errorf("%s from %s", line, e.Data.Client.Address)
			}
		})
	}
	for _, line := range want {
		if seen[line] != 1 && !strings.HasPrefix(line, "kafka.Metadata") { // a client may ask twice before it hears
			t.Errorf("%d events %q, want one", seen[line], line)
		}
	}
}

func clusterOf(t *testing.T, s *webServer) string {
	t.Helper()
	m, err := kadm.NewClient(s.admin).BrokerMetadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return m.Cluster
}

// TestSchemasThatOthersReadStayForbidden: the proxy keeps schemas for all callers, and not what each may do with them. Whoever may write to a topic, but not read its
// subject, produces by no id and by no text that somebody else has used a moment ago.
func TestSchemasThatOthersReadStayForbidden(t *testing.T) {
	t.Parallel()
	s := secureWeb(t)
	if _, err := kadm.NewClient(s.admin).CreateTopic(t.Context(), 1, 1, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	bob, admin := webCaller{authorization: basic("bob", "bob-secret")}, webCaller{authorization: basic("admin", "admin-secret")}
	s.grant(t, "User:bob", acl.Topic, "orders", acl.Write)
	const avro, text = "application/vnd.kafka.avro.v2+json", `"value_schema":"{\"type\":\"record\",\"name\":\"Secret\",\"fields\":[{\"name\":\"salary\",\"type\":\"int\"}]}"`
	for _, body := range []string{`{` + text + `,"records":[{"value":{"salary":1}}]}`, `{"value_schema_id":1,"records":[{"value":{"salary":1}}]}`} {
		if status, _, answer, err := s.send(t, admin, "rest", "POST", "/topics/orders", avro, body); err != nil || status != 200 {
			t.Fatalf("who may do all: %d %s, %v", status, answer, err)
		}
		if status, code, answer, err := s.send(t, bob, "rest", "POST", "/topics/orders", avro, body); err != nil || status != 403 || code != 40301 {
			t.Errorf("who may not read the subject: %d (%d) %s, %v, want 403 (40301)", status, code, answer, err)
		}
	}
	s.grant(t, "User:bob", acl.Subject, "orders", acl.Read)
	if status, _, answer, err := s.send(t, bob, "rest", "POST", "/topics/orders", avro, `{"value_schema_id":1,"records":[{"value":{"salary":1}}]}`); err != nil || status != 200 {
		t.Errorf("once he may: %d %s, %v", status, answer, err)
	}
}

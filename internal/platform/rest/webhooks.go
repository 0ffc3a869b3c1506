package rest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/platform/rest/webhook"
)

// Webhook is a service that may call in, and the topic that its events go to.
type Webhook struct {
	Name, Topic string
	Check       webhook.Check
}

// webhookHeaders are headers of a request that say what it is about; they become headers of the record, in lower case.
var webhookHeaders = []string{"Content-Type", "X-GitHub-Event", "X-GitHub-Delivery", "X-GitHub-Hook-Id", "Webhook-Id", "X-Request-Id", "X-Event-Type"}

// maxWebhookBytes bounds the body of a webhook's request, whose sender nobody knows before it was read. GitHub sends 25 MiB at most, most
// others far less.
const maxWebhookBytes = 1 << 20

// postWebhook takes a request of a service: the body becomes the value of a record, after its signature was checked. The operator has
// said which topic it goes to, so it is written as the proxy itself.
func (s *Server) postWebhook(w http.ResponseWriter, r *http.Request) error {
	hook, ok := s.webhooks[r.PathValue("name")]
	if !ok {
		return notFound("There is no webhook of this name")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return bodyError(err)
	}
	if err := hook.Check.Verify(r.Header, body, s.o.Now()); err != nil {
		if errors.Is(err, webhook.ErrSignature) {
			return gate.Errorf(codeUnauthenticated, "The signature is missing or wrong")
		}
		return fmt.Errorf("webhook %s: %w", hook.Name, err)
	}
	record := &kgo.Record{Topic: hook.Topic, Partition: anyPartition, Value: body, Headers: []kgo.RecordHeader{{Key: "webhook", Value: []byte(hook.Name)}}}
	for _, name := range webhookHeaders {
		if v := r.Header.Get(name); v != "" {
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: strings.ToLower(name), Value: []byte(v)})
		}
	}
	cl, err := s.o.Clients.Client(r.Context(), gate.Service("rest"))
	if err != nil {
		return err
	}
	if err := s.produceAll(r.Context(), cl, byWebhook, []*kgo.Record{record})[0]; err != nil {
		return fmt.Errorf("webhook %s: produce to %s: %w", hook.Name, hook.Topic, err)
	}
	return noContent(w)
}

package rest

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/weir-stream/weir/internal/platform/gate"
)

// What all resources of v3 have.
type (
	// Metadata says where a resource is.
	Metadata struct {
		Self         string `json:"self"`
		ResourceName string `json:"resource_name,omitempty"`
	}
	// ListMetadata says where a list is. Lists are whole: there is no next page.
	ListMetadata struct {
		Self string  `json:"self"`
		Next *string `json:"next"`
	}
	// Related points at another resource.
	Related struct {
		Related string `json:"related"`
	}
)

// place is a resource of v3: its URL, and its name in Confluent's form.
type place struct{ url, crn string }

// of returns the place of a cluster's resource that lies at a path: kinds and names in turn.
func placeOf(base, cluster string) place {
	return place{base + "/v3/clusters/" + url.PathEscape(cluster), "crn:///kafka=" + url.PathEscape(cluster)}
}

// at goes down to a resource: the segments of its path, and its part of the name.
func (p place) at(crn string, segments ...string) place {
	var b strings.Builder
	b.WriteString(p.url)
	for _, s := range segments {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(s))
	}
	out := place{url: b.String(), crn: p.crn}
	if crn != "" {
		out.crn += "/" + crn
	}
	return out
}

func (p place) metadata() Metadata { return Metadata{p.url, p.crn} }

// related points at what lies below.
func (p place) related(segments ...string) Related { return Related{p.at("", segments...).url} }

func (p place) list() ListMetadata { return ListMetadata{Self: p.url} }

func (p place) broker(id int32) place {
	return p.at("broker="+itoa(id), "brokers", itoa(id))
}

func (p place) topic(name string) place {
	return p.at("topic="+url.PathEscape(name), "topics", name)
}

func (p place) partition(topic string, n int32) place {
	return p.topic(topic).at("partition="+itoa(n), "partitions", itoa(n))
}

func (p place) group(id string) place {
	return p.at("consumer-group="+url.PathEscape(id), "consumer-groups", id)
}

func itoa(n int32) string { return strconv.Itoa(int(n)) }

// numberIn reads a segment of the path that is a number.
func numberIn(r *http.Request, name string) (int32, error) {
	n, err := strconv.ParseInt(r.PathValue(name), 10, 32)
	if err != nil {
		return 0, errNoPath()
	}
	return int32(n), nil
}

func notFound(format string, args ...any) error {
	return gate.Errorf(http.StatusNotFound, format, args...)
}

package app

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/vfs"
	"github.com/weir-stream/weir/internal/broker/wal"
)

//go:generate go run ../../tools/appdoc ../../docs

const configHead = `# Settings

Every setting of a server. Each can be given as a flag (` + "`--num-partitions 3`" + `, the name with dashes), by ` + "`--set num.partitions=3`" + `, as a
variable (` + "`WEIR_NUM_PARTITIONS`" + `), or in the YAML file of ` + "`-c`" + `; in this order the first counts, then the default. ` + "`weir config show --origin`" + ` tells what is in
force and where it comes from. A name that is not here is refused.

Names, types and meanings are Kafka's where Kafka has the setting. *changes* says whether a setting may be changed while the server
runs, with ` + "`kafka-configs`" + ` or any other admin client; *overrides* names the config of a topic or group that goes before it.

`

// ConfigDocs writes docs/config.md.
func ConfigDocs(w io.Writer) error {
	schema, err := Schema()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, configHead); err != nil {
		return err
	}
	return config.Markdown(w, schema)
}

const metricsHead = `# Metrics

What a server gives at ` + "`/metrics`" + ` of its admin address, in the text format of Prometheus, beside the usual ` + "`go_*` and `process_*`" + `.
Times are in seconds, sizes in bytes. A name that Kafka's exporters use is kept where the meaning is the same.

| name | type | labels | meaning |
|---|---|---|---|
`

// MetricsDocs writes docs/metrics.md from the descriptions of a server that is assembled in memory and not started.
func MetricsDocs(ctx context.Context, w io.Writer) error {
	all, err := describeMetrics(ctx)
	if err != nil {
		return err
	}
	b := bufio.NewWriter(w)
	fmt.Fprint(b, metricsHead)
	for _, m := range all {
		labels := ""
		if m.labels != "" {
			labels = "`" + strings.ReplaceAll(m.labels, ",", "`, `") + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", m.name, m.kind, labels, strings.ReplaceAll(m.help, "|", "\\|"))
	}
	return b.Flush()
}

// metricDoc describes one metric.
type metricDoc struct{ name, kind, labels, help string }

func describeMetrics(ctx context.Context) ([]metricDoc, error) {
	schema, err := Schema()
	if err != nil {
		return nil, err
	}
	rec := &recorder{Registerer: prometheus.NewRegistry()}
	a := New(Options{Values: schema.Defaults(), Version: "docs", FS: vfs.NewMem(), Blob: blob.NewMem(), Meta: meta.NewMem(nil), NoRunFile: true})
	a.registerer = rec
	var c closers
	if _, err := a.assemble(ctx, &c); err != nil {
		return nil, err
	}
	if err := c.close(); err != nil {
		return nil, err
	}
	// The log makes its metrics when it starts, after recovery: they are described apart.
	wal.New(wal.Options{FS: vfs.NewMem(), Dir: "wal", Incarnation: 1, Registerer: rec})
	wal.NewObjectMetrics(rec) // a cluster's
	if len(rec.unknown) > 0 {
		return nil, fmt.Errorf("description of a metric in an unknown form: %s", rec.unknown[0])
	}
	slices.SortFunc(rec.all, func(x, y metricDoc) int { return cmp.Compare(x.name, y.name) })
	return slices.Compact(rec.all), nil
}

// recorder is a registry that notes what is registered.
type recorder struct {
	prometheus.Registerer

	mu      sync.Mutex
	all     []metricDoc
	unknown []string // descriptions in a form that is not known
}

func (r *recorder) Register(c prometheus.Collector) error {
	r.note(c)
	return nil
}

func (r *recorder) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		r.note(c)
	}
}

// described takes the text form of a description apart, the only one that the library gives.
var described = regexp.MustCompile(`^Desc\{fqName: "([^"]*)", help: "((?:[^"\\]|\\.)*)"(?:, unit: "[^"]*")?, constLabels: \{[^}]*\}, variableLabels: \{([^}]*)\}`)

func (r *recorder) note(c prometheus.Collector) {
	descs := make(chan *prometheus.Desc)
	go func() {
		c.Describe(descs)
		close(descs)
	}()
	r.mu.Lock()
	defer r.mu.Unlock()
	for d := range descs {
		m := described.FindStringSubmatch(d.String())
		if m == nil {
			r.unknown = append(r.unknown, d.String())
			continue
		}
		if strings.HasPrefix(m[1], "go_") || strings.HasPrefix(m[1], "process_") {
			continue
		}
		r.all = append(r.all, metricDoc{m[1], kindOf(c, m[1]), m[3], strings.ReplaceAll(m[2], `\"`, `"`)})
	}
}

// kindOf tells the kind of a metric by its collector, or by the naming rule where one collector has several.
func kindOf(c prometheus.Collector, name string) string {
	switch c.(type) {
	case prometheus.Gauge, *prometheus.GaugeVec:
		return "gauge"
	case prometheus.Counter, *prometheus.CounterVec:
		return "counter"
	case prometheus.Histogram, *prometheus.HistogramVec:
		return "histogram"
	}
	if strings.HasSuffix(name, "_total") {
		return "counter"
	}
	return "gauge"
}
